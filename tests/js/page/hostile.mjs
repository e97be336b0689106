/** What an answer may have done to the page, and how it looks. */
export async function answer({ visit }) {
  const v = await visit();
  const { page } = v;
  await v.ask("Be evil.");
  await v.ended();
  const prose = v.answer.locator(".prose");
  return {
    ...(await prose.evaluate((node) => {
      const all = [...node.querySelectorAll("*")];
      return {
        hacked: globalThis.hacked ?? null,
        elements: [...new Set(all.map(({ localName }) => localName))],
        handlers: all.flatMap(({ attributes }) =>
          [...attributes].map(({ name }) => name).filter((name) => /^on|^style$/.test(name)),
        ),
        links: [...node.querySelectorAll("a")].map((link) => link.href),
        overflow: document.documentElement.scrollWidth - innerWidth,
      };
    })),
    text: await prose.innerText(),
    foreign: v.foreign,
  };
}

/** An answer whose text is long, or strange. */
export async function legible({ visit, options }) {
  const v = await visit(options.visit);
  await v.ask("Go on.");
  await v.ended();
  const prose = v.answer.locator(".prose");
  const text = await prose.evaluate((node) => node.textContent);
  return {
    length: text.length,
    start: text.slice(0, 200),
    end: text.slice(-200),
    overflow: await v.page.evaluate(() => document.documentElement.scrollWidth - innerWidth),
    directions: await prose.evaluate((node) =>
      [...node.querySelectorAll("p")].map((each) => getComputedStyle(each).direction),
    ),
  };
}

/** On which side things stand. */
export async function sides({ visit }) {
  const v = await visit();
  await v.ask("From the right.");
  await v.ended();
  return await v.answer.locator(".prose").evaluate((prose) => {
    const names = ["h4", "blockquote", "blockquote p", "ol", "ol p", "ul", ".table-box", "table"];
    names.push(".code", ".group > p");
    const style = (name) => getComputedStyle(prose.querySelector(name));
    const right = (name) => prose.querySelector(name).getBoundingClientRect().right;
    return {
      directions: Object.fromEntries(names.map((name) => [name, style(name).direction])),
      mark: parseFloat(style("blockquote").borderRightWidth) > 0 ? "right" : "left",
      table: right("table") - right(".table-box"),
    };
  });
}
