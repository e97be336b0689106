// Served to a page: connect-web's clients for what /descriptors.bin describes, which asks, leaves
// after some tokens, and reads on. Each event is reported.
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";

const kinds = {
  connect: (baseUrl) => createConnectTransport({ baseUrl }),
  "connect-binary": (baseUrl) => createConnectTransport({ baseUrl, useBinaryFormat: true }),
  "grpc-web": (baseUrl) => createGrpcWebTransport({ baseUrl }),
};

export async function answers(server, kind) {
  const described = await (await fetch("/descriptors.bin")).arrayBuffer();
  const files = fromBinary(FileDescriptorSetSchema, new Uint8Array(described));
  const service = createFileRegistry(files).getService("fairlead.v1.Answers");
  return createClient(service, kinds[kind](server));
}

export async function read(server, kind, question, leaveAfter) {
  const client = await answers(server, kind);
  let [stream, after, tokens] = ["", "", 0];
  const told = (event) => {
    ({ stream, position: after } = event);
    if (event.event.case === "token") {
      tokens += 1;
      report({ is: "token", text: event.event.value.text });
    } else {
      report({ is: event.type, id: `${stream}.${after}` });
    }
  };
  for await (const event of client.ask({ message: question })) {
    told(event);
    if (tokens === leaveAfter) break;
  }
  report({ is: "left" });
  for await (const event of client.attach({ stream, after })) told(event);
  return (await client.get({ stream })).text;
}

export async function fails(server, kind, stream) {
  try {
    await (await answers(server, kind)).get({ stream });
  } catch (error) {
    return ConnectError.from(error).code;
  }
}
