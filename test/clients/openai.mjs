// OpenAI's client for JavaScript. Only the base URL and the key differ from what its users
// have.
import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";
import OpenAI, { toFile } from "openai";
import { apiKey, assertMP4, countTasks, failOnce, request, samples, serveHTTP, url } from "./harness.mjs";

const newClient = (options) => new OpenAI({ baseURL: `${url}/v1`, apiKey, ...options });
const client = newClient();
const baseRequest = { model: "wan2.6-video-720p", prompt: "waves at dusk", seconds: "2", size: "1280x720" };

// waitFinished polls until a video is final, at the intervals that the server asks for, as
// the client's own helpers do.
async function waitFinished(id) {
  for (;;) {
    const { data, response } = await client.videos.retrieve(id).withResponse();
    if (data.status !== "queued" && data.status !== "in_progress") return data;
    const delay = Number(response.headers.get("openai-poll-after-ms"));
    assert.ok(delay >= 1000 && delay <= 15000, `openai-poll-after-ms is ${delay}`);
    await new Promise((resolve) => setTimeout(resolve, delay));
  }
}

test("create with an image, wait, download", async () => {
  const video = await client.videos.create({
    model: "wan2.6-i2v-flash-720p-silent", prompt: "the lamp glows", seconds: "2", size: "1280x720",
    input_reference: await toFile(fs.createReadStream(new URL("ref-2.png", samples)), "lamp.png", { type: "image/png" }),
  });
  assert.equal(video.object, "video");
  assert.equal(video.status, "queued");
  assert.equal(video.progress, 0);
  assert.equal(video.seconds, "2");
  assert.equal(video.size, "1280x720");
  assert.equal(video.error, null);

  const done = await waitFinished(video.id);
  assert.equal(done.status, "completed");
  assert.equal(done.progress, 100);
  assert.ok(done.completed_at >= done.created_at && done.expires_at > done.completed_at);

  const content = await client.videos.downloadContent(video.id);
  assert.equal(content.headers.get("content-type"), "video/mp4");
  assertMP4(new Uint8Array(await content.arrayBuffer()));
  const thumbnail = await client.videos.downloadContent(video.id, { variant: "thumbnail" });
  assert.equal(thumbnail.headers.get("content-type"), "image/jpeg");
  assert.deepEqual([...new Uint8Array(await thumbnail.arrayBuffer()).slice(0, 3)], [0xff, 0xd8, 0xff]);
});

test("create without an image, list by pages, delete", async () => {
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push((await client.videos.create({ ...baseRequest, prompt: `wave ${i}` })).id);
  const page = await client.videos.list({ limit: 2 });
  assert.deepEqual(page.data.map((video) => video.id), [ids[2], ids[1]]);
  assert.ok(page.hasNextPage());
  const all = [];
  for await (const video of client.videos.list({ limit: 2, order: "asc" })) all.push(video.id);
  assert.deepEqual(all.slice(-3), ids);
  assert.equal(all.length, await countTasks());

  assert.equal((await waitFinished(ids[0])).status, "completed");
  const deleted = await client.videos.delete(ids[0]);
  assert.deepEqual(deleted, { id: ids[0], object: "video.deleted", deleted: true });
  await assert.rejects(client.videos.retrieve(ids[0]), OpenAI.NotFoundError);
  await assert.rejects(client.videos.downloadContent(ids[0]), OpenAI.NotFoundError);
  for await (const video of client.videos.list()) assert.notEqual(video.id, ids[0]);
});

test("errors are the client's own types and name the field", async () => {
  const before = await countTasks();
  const assertFails = async (promise, kind, expected) => {
    const error = await promise.then(() => assert.fail("the request was accepted"), (rejection) => rejection);
    assert.ok(error instanceof kind, String(error));
    const { status, code, param } = error;
    assert.deepEqual({ status, code, param }, expected);
    assert.ok(error.type && error.requestID, "the error has no type or no request id");
  };
  await assertFails(client.videos.create({ ...baseRequest, seconds: "99" }), OpenAI.BadRequestError, { status: 400, code: "invalid_value", param: "seconds" });
  await assertFails(client.videos.create({ ...baseRequest, model: "sora-2" }), OpenAI.BadRequestError, { status: 400, code: "unknown_model", param: "model" });
  await assertFails(client.videos.retrieve("task_nobody"), OpenAI.NotFoundError, { status: 404, code: "video_not_found", param: "id" });
  await assertFails(newClient({ apiKey: "sk-wrong" }).videos.list(), OpenAI.AuthenticationError, { status: 401, code: "invalid_api_key", param: "Authorization" });
  assert.equal(await countTasks(), before);
});

test("a poll that fails with 500 is retried", async () => {
  const flakyFetch = failOnce("GET", /^\/v1\/videos\/task_/);
  const flaky = newClient({ fetch: flakyFetch });
  const before = await countTasks();
  const video = await flaky.videos.create(baseRequest);
  assert.equal((await flaky.videos.retrieve(video.id)).id, video.id);
  assert.equal(flakyFetch.hits, 1);
  assert.equal(await countTasks(), before + 1);
});

test("a create that fails with 500 is retried and makes one task", async () => {
  const flakyFetch = failOnce("POST", /^\/v1\/videos$/);
  const before = await countTasks();
  const video = await newClient({ fetch: flakyFetch }).videos.create(baseRequest);
  assert.equal(video.status, "queued");
  assert.equal(flakyFetch.hits, 1);
  assert.equal(await countTasks(), before + 1);
});

// The client sends no idempotency key by itself. A user who wants only one task must set it.
test("with an idempotency key a create whose response is lost makes one task", async () => {
  const flakyFetch = failOnce("POST", /^\/v1\/videos$/, true);
  const before = await countTasks();
  const input_reference = await toFile(fs.readFileSync(new URL("ref-1.png", samples)), "face.png", { type: "image/png" });
  const body = { model: "wan2.6-i2v-flash-720p-silent", prompt: "a smile", seconds: "2", input_reference };
  const { response } = await newClient({ fetch: flakyFetch })
    .videos.create(body, { headers: { "Idempotency-Key": "shot 7" } }).withResponse();
  assert.equal(flakyFetch.hits, 1);
  assert.equal(response.headers.get("idempotent-replayed"), "true");
  assert.equal(await countTasks(), before + 1);
});

test("a cancelled video has the status failed in this API", async (t) => {
  const hangingURL = await serveHTTP(t, () => {}); // never responds, so the task stays queued
  const video = await client.videos.create({
    model: "wan2.6-i2v-flash-720p-silent", prompt: "never", seconds: "2", input_reference: { image_url: `${hangingURL}/face.png` },
  });
  assert.equal(video.status, "queued");
  await client.post(`/videos/${video.id}/cancel`);
  const seen = await client.videos.retrieve(video.id);
  assert.equal(seen.status, "failed");
  assert.equal(seen.error.code, "cancelled");
  assert.equal((await request("GET", `/v1/video/generations/${video.id}`)).status, "cancelled");
});
