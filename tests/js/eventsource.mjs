// npm eventsource 4 in Node. Options: url. It listens by name, and to unnamed messages.
import { EventSource } from "eventsource";
import { commands, options, report } from "./driver.mjs";

const source = new EventSource(options.url);
source.onopen = () => report({ is: "open" });
source.onmessage = ({ data, lastEventId }) =>
  report({ is: "message", data: JSON.parse(data), id: lastEventId });
for (const name of ["thinking", "sources", "token", "done", "drain"])
  source.addEventListener(name, ({ data, lastEventId }) =>
    report({ is: name, data: JSON.parse(data), id: lastEventId }),
  );
source.addEventListener("error", (event) => {
  // The name is used twice: by the server's event, which has data, and by the connection's.
  if (event.data !== undefined) report({ is: "error", data: JSON.parse(event.data) });
  else report({ is: "broken", code: event.code ?? null, closed: source.readyState === 2 });
});
for await (const _ of commands()) source.close();
process.exit();
