// The shared part of the test files: the server's address and key, checks of videos,
// and fetch functions that fail at a chosen request.
import assert from "node:assert/strict";
import { File } from "node:buffer";
import { webcrypto } from "node:crypto";
import http from "node:http";

// In Node 18 these exist in modules only; the clients expect them as globals.
globalThis.File ??= File;
globalThis.crypto ??= webcrypto;

export const url = process.env.UNIREEL_URL;
export const apiKey = process.env.UNIREEL_API_KEY;
export const samples = new URL("../../internal/sample/", import.meta.url);

// request calls the server without a client, for what a client cannot do. It expects
// status 200 and returns the JSON of the response.
export async function request(method, path, body) {
  const response = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${apiKey}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  assert.equal(response.status, 200, `${method} ${path}: ${response.status}`);
  return response.json();
}

// countTasks returns the number of the account's tasks, at most 100.
export const countTasks = async () => (await request("GET", "/v1/videos?limit=100")).data.length;

// assertMP4 checks that bytes begin as every MP4 does. Other tests check that the video
// can be played.
export function assertMP4(bytes) {
  assert.equal(Buffer.from(bytes.slice(4, 8)).toString(), "ftyp");
  assert.ok(bytes.length > 10_000, `${bytes.length} bytes are too few for a video`);
}

// failOnce returns a fetch function that responds 500 to the first request of the method
// and path, and counts such responses in hits. It does not send that request to the
// server, unless `afterwards` is true: then the server handles it and its response is lost.
export function failOnce(method, path, afterwards = false) {
  const flakyFetch = async (target, init) => {
    const hit = flakyFetch.hits === 0 && (init?.method ?? "GET").toUpperCase() === method && path.test(new URL(target).pathname);
    if (!hit) return fetch(target, init);
    flakyFetch.hits++;
    if (afterwards) assert.equal((await fetch(target, init)).status, 200);
    return Response.json({ message: "injected" }, { status: 500 });
  };
  flakyFetch.hits = 0;
  return flakyFetch;
}

// serveHTTP serves on loopback until the test ends and returns the server's origin.
// handler is a request listener of node:http.
export async function serveHTTP(t, handler) {
  const server = http.createServer(handler);
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${server.address().port}`;
}
