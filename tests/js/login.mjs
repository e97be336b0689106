// Logs in with Chromium at a real provider: node login.mjs '{"url", "provider"}'
//
// Reports what it sees at each step, and goes on at each command.

import { launch } from "./chromium.mjs";
import { commands, options, report } from "./driver.mjs";

const { url, provider } = options;
const input = commands();
const browser = await launch();
const context = await browser.newContext({ locale: "en-GB", bypassCSP: true });
const page = await context.newPage();

const me = () => page.evaluate(async () => (await fetch("/me")).json());

async function logIn(name) {
  await page.goto(`${url}/login?back=${encodeURIComponent("/me?from=login")}`);
  await page.fill("input[name=login]", name);
  await page.fill("input[name=password]", "anything");
  await page.click("button[type=submit]");
  await page.click("button[type=submit]"); // what fairlead is to be told
  await page.waitForURL(`${url}/me?from=login`);
}

await page.goto(`${url}/`);
report({ is: "nobody", me: await me() });

await logIn("root");
report({
  is: "logged in",
  me: await me(),
  script: await page.evaluate(() => document.cookie),
  cookies: (await context.cookies(url)).filter((one) => one.name.startsWith("fairlead")),
});

// A page of ours asks, reads with EventSource, and talks over a socket: the cookie is enough.
await page.goto(`${url}/`);
report({
  is: "asked",
  ...(await page.evaluate(async () => {
    const body = JSON.stringify({ message: "Go on.", background: true });
    const headers = { "Content-Type": "application/json" };
    const asked = await fetch("/chat/stream", { method: "POST", headers, body });
    const stream = asked.headers.get("Fairlead-Stream");
    await asked.body.cancel();
    window.seen = [];
    const source = new EventSource(`/streams/${stream}`);
    source.addEventListener("token", (event) => window.seen.push(JSON.parse(event.data).token));
    window.ended = new Promise((resolve) =>
      source.addEventListener("error", (event) => {
        if (!event.data) return;
        source.close();
        resolve(JSON.parse(event.data).code);
      }),
    );
    const socket = new WebSocket(`${location.origin.replace("http", "ws")}/ws`, ["fairlead.v1"]);
    const pong = await new Promise((resolve) => {
      socket.onopen = () => socket.send('{"type": "ping"}');
      socket.onmessage = (event) => resolve(JSON.parse(event.data).type);
      socket.onclose = (event) => resolve(`closed ${event.code}`);
    });
    window.socketClosed = new Promise((resolve) => (socket.onclose = (event) => resolve(event.code)));
    return { status: asked.status, stream, pong, protocol: socket.protocol };
  })),
});
await input.next();
await page.waitForFunction(() => window.seen.length === 2);

// A page of another origin of the same site, to whose requests the browser adds the cookie.
const foreign = await context.newPage();
await foreign.goto(`${provider}/.well-known/openid-configuration`);
report({
  is: "foreign",
  ...(await foreign.evaluate(async (url) => {
    const attempt = (path, options) =>
      fetch(url + path, { credentials: "include", mode: "no-cors", ...options }).then(
        (response) => response.type,
        () => "failed",
      );
    const posts = [];
    for (const path of ["/chat/stream?message=stolen", "/tickets", "/logout"]) {
      posts.push(await attempt(path, { method: "POST", body: "{}" }));
    }
    posts.push(await attempt("/chat/stream?message=stolen", { method: "GET" }));
    await new Promise((resolve) => {
      const source = new EventSource(`${url}/chat/stream?message=stolen`, { withCredentials: true });
      source.onerror = () => (source.close(), resolve());
    });
    const socket = new WebSocket(`${url.replace("http", "ws")}/ws`);
    const opened = await new Promise((resolve) => {
      socket.onopen = () => resolve(true);
      socket.onclose = () => resolve(false);
    });
    return { posts, opened };
  }, url)),
});
await foreign.close();
report({ is: "still logged in", me: await me() });

// Out again: here, for what is open, and at the provider.
const { location } = await page.evaluate(async () =>
  (await fetch("/logout", { method: "POST" })).json(),
);
report({
  is: "logged out",
  location,
  ended: await page.evaluate(() => window.ended),
  closed: await page.evaluate(() => window.socketClosed),
  me: await me(),
  cookies: (await context.cookies(url)).filter((one) => one.name.startsWith("fairlead")),
});
await page.goto(location);
await page.click("button[value=yes]");
await page.waitForURL(`${url}/`);
await page.goto(`${url}/login`);
report({ is: "asked for a name again", there: await page.locator("input[name=login]").count() });

await browser.close();
process.exit();
