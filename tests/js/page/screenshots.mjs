const WIDE = { viewport: { width: 1280, height: 820 } };
const PHONE = {
  viewport: { width: 390, height: 844 },
  isMobile: true,
  hasTouch: true,
};
const LOOKS = { light: WIDE, dark: { ...WIDE, colorScheme: "dark" }, phone: PHONE };

export async function chat({ visit, options }) {
  for (const [name, look] of Object.entries(LOOKS)) {
    const v = await visit(look);
    const shot = (what) => v.page.screenshot({ path: `${options.folder}/${what}-${name}.png` });
    await v.ask("Who built the lighthouse of Skarvoy, and when?");
    await v.wrote("In short");
    await v.button("Cut the line").click();
    await shot("writing");
    await v.ended();
    await v.answer.locator(".hl-keyword").first().waitFor();
    await v.answer.locator(".cite").first().click();
    await v.page.locator(".passage mark").waitFor();
    await shot("source");
    await v.context.close();
  }
  return {};
}

export async function fresh({ visit, options }) {
  for (const [name, look] of Object.entries(LOOKS)) {
    const v = await visit(look);
    await v.page.locator(".notice").waitFor();
    await v.page.screenshot({ path: `${options.folder}/welcome-${name}.png` });
    await v.context.close();
  }
  return {};
}
