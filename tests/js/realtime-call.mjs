// Realtime sessions over WebRTC from pages in Chromium, as OpenAI's guide opens them: a peer
// connection with a data channel `oai-events`, an offer that is posted, the answer to it.
import { chromium } from "playwright-core";
import { commands, options, report } from "./driver.mjs";

const browser = await chromium.launch({
  executablePath: options.chromium ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const page = await browser.newPage();
await page.goto(`${options.url}/`);

await page.evaluate(() => {
  class Call {
    events = [];
    #wake = () => {};

    async open({ url, key, session, model, audio }) {
      this.peer = new RTCPeerConnection();
      if (audio) this.peer.addTransceiver("audio");
      this.channel = this.peer.createDataChannel("oai-events");
      this.channel.onmessage = ({ data }) => this.#add(JSON.parse(data));
      this.channel.onclose = () => this.#add({ type: "closed" });
      await this.peer.setLocalDescription(await this.peer.createOffer());
      const headers = { Authorization: `Bearer ${key}` };
      let body = this.peer.localDescription.sdp;
      if (session) {
        const form = new FormData();
        form.set("sdp", body);
        form.set("session", JSON.stringify(session));
        body = form;
      } else {
        headers["Content-Type"] = "application/sdp";
      }
      const query = model ? `?model=${model}` : "";
      const response = await fetch(`${url}/v1/realtime/calls${query}`, {
        method: "POST",
        headers,
        body,
      });
      const text = await response.text();
      if (response.status !== 201) return { status: response.status, text };
      await this.peer.setRemoteDescription({ type: "answer", sdp: text });
      this.location = response.headers.get("Location");
      return { status: 201, location: this.location, sdp: text };
    }

    #add(event) {
      this.events.push(event);
      this.#wake();
    }

    // The events up to the first of these types, which are not given again.
    async until(...types) {
      for (;;) {
        const at = this.events.findIndex((event) => types.includes(event.type));
        if (at >= 0) return this.events.splice(0, at + 1);
        await new Promise((resolve) => (this.#wake = resolve));
      }
    }

    send(event) {
      this.channel.send(typeof event === "string" ? event : JSON.stringify(event));
    }
  }
  globalThis.calls = {};
  globalThis.acts = {
    async open({ name, ...fields }) {
      const call = (globalThis.calls[name] = new Call());
      return await call.open(fields);
    },
    async send({ name, event }) {
      globalThis.calls[name].send(event);
      return {};
    },
    async until({ name, types }) {
      const events = await globalThis.calls[name].until(...types);
      const text = events
        .filter((event) => event.type === "response.output_text.delta")
        .map((event) => event.delta)
        .join("");
      return { text, types: events.map((event) => event.type), last: events.at(-1) };
    },
    async hangup({ name, key }) {
      const response = await fetch(`${globalThis.calls[name].location}/hangup`, {
        method: "POST",
        headers: { Authorization: `Bearer ${key}` },
      });
      return { status: response.status };
    },
    async leave({ name }) {
      globalThis.calls[name].peer.close();
      return {};
    },
  };
});

async function obey({ act, ...fields }) {
  try {
    const made = await page.evaluate(([act, fields]) => globalThis.acts[act](fields), [act, fields]);
    report({ is: "done", act, ...made });
  } catch (error) {
    report({ is: "failed", act, message: error.message });
  }
}

// A command may be given while another one is being done.
for await (const command of commands()) void obey(command);
await browser.close();
process.exit();
