// What every file here needs: the server's address and key, films, and networks that
// fail at the right moment.
import assert from "node:assert/strict";
import { File } from "node:buffer";
import { webcrypto } from "node:crypto";
import http from "node:http";

// Node 18 has these in modules only, and the clients want them so.
globalThis.File ??= File;
globalThis.crypto ??= webcrypto;

export const url = process.env.UNIREEL_URL;
export const apiKey = process.env.UNIREEL_API_KEY;
export const samples = new URL("../../internal/sample/", import.meta.url);

// call asks the server without any client, for what clients have no word for.
export async function call(method, path, body) {
  const answer = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  assert.equal(answer.status, 200, `${method} ${path}: ${answer.status}`);
  return answer.json();
}

// count says how many tasks the account has.
export const count = async () => (await call("GET", "/v1/videos?limit=100")).data.length;

// isFilm looks at what every MP4 begins with; that it plays is shown elsewhere.
export function isFilm(bytes) {
  assert.equal(Buffer.from(bytes.slice(4, 8)).toString(), "ftyp");
  assert.ok(bytes.length > 10_000, `${bytes.length} bytes are no film`);
}

// broken is a fetch that answers 500 once, to the first request of the method and
// path: instead of the server or, when it is `late`, although the server did it.
export function broken(method, path, late = false) {
  const network = async (target, init) => {
    const hit = network.hits === 0 && (init?.method ?? "GET").toUpperCase() === method && path.test(new URL(target).pathname);
    if (!hit) return fetch(target, init);
    network.hits++;
    if (late) assert.equal((await fetch(target, init)).status, 200);
    return Response.json({ message: "injected" }, { status: 500 });
  };
  network.hits = 0;
  return network;
}

// listen serves on loopback until the test ends; answer is of node:http.
export async function listen(t, answer) {
  const server = http.createServer(answer);
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}
