// A worker in another language, made from docs/reference/bridge.md alone: node worker.mjs DESCRIPTOR
import net from "node:net";

const KIND = {
  hello: 1, ready: 2, call: 3, chunk: 4, lmRequest: 6, lmResponse: 7, toolRequest: 8, toolResponse: 9,
  result: 10, error: 11, cancel: 12, ping: 13, pong: 14, shutdown: 15, toolChunk: 17, toolFlow: 18,
};
const JSON_FORMAT = 1;
const socket = new net.Socket({ fd: Number(process.argv[2]), readable: true, writable: true });
const waiting = new Map(); // what an answer of the host's goes to, by request
let requests = 0;
let rest = Buffer.alloc(0);

function send(kind, request, message) {
  const body = Buffer.from(JSON.stringify(message));
  const header = Buffer.alloc(10);
  header.writeUInt32BE(6 + body.length, 0);
  header.writeUInt8(JSON_FORMAT, 4);
  header.writeUInt8(kind, 5);
  header.writeUInt32BE(request, 6);
  socket.write(Buffer.concat([header, body]));
}

function ask(kind, message, onPart) {
  const request = ++requests;
  send(kind, request, message);
  return new Promise((done) => waiting.set(request, { done, onPart }));
}

const operations = {
  echo: async (call, payload) => payload,
  shout: async (call, { text }) => {
    send(KIND.chunk, call, { field: "answer", text, offset: 0 });
    const messages = [{ role: "user", content: text }];
    return (await ask(KIND.lmRequest, { call, request: { messages } })).response.text;
  },
  parts: async (call, { tool }) => {
    const parts = [];
    const answer = await ask(KIND.toolRequest, { call, tool, stream: true }, (part, request) => {
      parts.push(part);
      send(KIND.toolFlow, request, { call, taken: 1 });
    });
    return { parts, whole: answer.value };
  },
};

async function work(number, { operation, payload = {} }) {
  try {
    send(KIND.result, number, { value: await operations[operation](number, payload) });
  } catch (error) {
    send(KIND.error, number, { failure: { code: "failed", message: String(error) } });
  }
}

function take(kind, request, message) {
  if (kind === KIND.hello) {
    const isolation = [{ name: "network", detail: "not tried" }];
    const ready = { protocol: 1, format: "json", formats: ["json"], pid: process.pid };
    send(KIND.ready, 0, { ...ready, versions: { node: process.version }, operations: Object.keys(operations), isolation });
  } else if (kind === KIND.call) work(request, message);
  else if (kind === KIND.ping) send(KIND.pong, request, {});
  else if (kind === KIND.toolChunk) waiting.get(request)?.onPart(message.value, request);
  else if (kind === KIND.lmResponse || kind === KIND.toolResponse) {
    waiting.get(request)?.done(message);
    waiting.delete(request);
  } else if (kind === KIND.cancel) send(KIND.error, request, { failure: { code: "cancelled", message: "Cancelled." } });
  else if (kind === KIND.shutdown) process.exit(0);
}

socket.on("data", (data) => {
  rest = Buffer.concat([rest, data]);
  while (rest.length >= 10 && rest.length >= 4 + rest.readUInt32BE(0)) {
    const end = 4 + rest.readUInt32BE(0);
    take(rest.readUInt8(5), rest.readUInt32BE(6), JSON.parse(rest.subarray(10, end)));
    rest = rest.subarray(end);
  }
});
socket.on("close", () => process.exit(0));
