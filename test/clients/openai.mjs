// OpenAI's client for JavaScript, as its users have it: another base URL and key.
import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";
import OpenAI, { toFile } from "openai";
import { apiKey, broken, call, count, isFilm, listen, samples, url } from "./world.mjs";

const made = (options) => new OpenAI({ baseURL: `${url}/v1`, apiKey, ...options });
const client = made();
const words = { model: "wan2.6-video-720p", prompt: "waves at dusk", seconds: "2", size: "1280x720" };

// finished polls as OpenAI's own helpers do: when the server says.
async function finished(id) {
  for (;;) {
    const { data, response } = await client.videos.retrieve(id).withResponse();
    if (data.status !== "queued" && data.status !== "in_progress") return data;
    const pause = Number(response.headers.get("openai-poll-after-ms"));
    assert.ok(pause >= 1000 && pause <= 15000, `openai-poll-after-ms is ${pause}`);
    await new Promise((wake) => setTimeout(wake, pause));
  }
}

test("create with a picture, wait, download", async () => {
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

  const done = await finished(video.id);
  assert.equal(done.status, "completed");
  assert.equal(done.progress, 100);
  assert.ok(done.completed_at >= done.created_at && done.expires_at > done.completed_at);

  const film = await client.videos.downloadContent(video.id);
  assert.equal(film.headers.get("content-type"), "video/mp4");
  isFilm(new Uint8Array(await film.arrayBuffer()));
  const picture = await client.videos.downloadContent(video.id, { variant: "thumbnail" });
  assert.equal(picture.headers.get("content-type"), "image/jpeg");
  assert.deepEqual([...new Uint8Array(await picture.arrayBuffer()).slice(0, 3)], [0xff, 0xd8, 0xff]);
});

test("create without a picture, list page by page, delete", async () => {
  const mine = [];
  for (let i = 0; i < 3; i++) mine.push((await client.videos.create({ ...words, prompt: `wave ${i}` })).id);
  const page = await client.videos.list({ limit: 2 });
  assert.deepEqual(page.data.map((video) => video.id), [mine[2], mine[1]]);
  assert.ok(page.hasNextPage());
  const all = [];
  for await (const video of client.videos.list({ limit: 2, order: "asc" })) all.push(video.id);
  assert.deepEqual(all.slice(-3), mine);
  assert.equal(all.length, await count());

  assert.equal((await finished(mine[0])).status, "completed");
  const deleted = await client.videos.delete(mine[0]);
  assert.deepEqual(deleted, { id: mine[0], object: "video.deleted", deleted: true });
  await assert.rejects(client.videos.retrieve(mine[0]), OpenAI.NotFoundError);
  await assert.rejects(client.videos.downloadContent(mine[0]), OpenAI.NotFoundError);
  for await (const video of client.videos.list()) assert.notEqual(video.id, mine[0]);
});

test("errors are the client's own, and say what is wrong", async () => {
  const before = await count();
  const wrong = async (doing, kind, said) => {
    const error = await doing.then(() => assert.fail("it was taken"), (refusal) => refusal);
    assert.ok(error instanceof kind, String(error));
    const { status, code, param } = error;
    assert.deepEqual({ status, code, param }, said);
    assert.ok(error.type && error.requestID, "it has no type or no request id");
  };
  await wrong(client.videos.create({ ...words, seconds: "99" }), OpenAI.BadRequestError, { status: 400, code: "invalid_value", param: "seconds" });
  await wrong(client.videos.create({ ...words, model: "sora-2" }), OpenAI.BadRequestError, { status: 400, code: "unknown_model", param: "model" });
  await wrong(client.videos.retrieve("task_nobody"), OpenAI.NotFoundError, { status: 404, code: "video_not_found", param: "id" });
  await wrong(made({ apiKey: "sk-wrong" }).videos.list(), OpenAI.AuthenticationError, { status: 401, code: "invalid_api_key", param: "Authorization" });
  assert.equal(await count(), before);
});

test("a 500 to a poll is asked again", async () => {
  const network = broken("GET", /^\/v1\/videos\/task_/);
  const flaky = made({ fetch: network });
  const before = await count();
  const video = await flaky.videos.create(words);
  assert.equal((await flaky.videos.retrieve(video.id)).id, video.id);
  assert.equal(network.hits, 1);
  assert.equal(await count(), before + 1);
});

test("a 500 to a create is sent again, and makes one task", async () => {
  const network = broken("POST", /^\/v1\/videos$/);
  const before = await count();
  const video = await made({ fetch: network }).videos.create(words);
  assert.equal(video.status, "queued");
  assert.equal(network.hits, 1);
  assert.equal(await count(), before + 1);
});

// The client sends no key of its own accord: who wants one task gives one.
test("an answer that is lost makes one task, by its idempotency key", async () => {
  const network = broken("POST", /^\/v1\/videos$/, true);
  const before = await count();
  const input_reference = await toFile(fs.readFileSync(new URL("ref-1.png", samples)), "face.png", { type: "image/png" });
  const body = { model: "wan2.6-i2v-flash-720p-silent", prompt: "a smile", seconds: "2", input_reference };
  const { response } = await made({ fetch: network })
    .videos.create(body, { headers: { "Idempotency-Key": "shot 7" } }).withResponse();
  assert.equal(network.hits, 1);
  assert.equal(response.headers.get("idempotent-replayed"), "true");
  assert.equal(await count(), before + 1);
});

test("a cancelled video has failed here", async (t) => {
  const silence = await listen(t, () => {}); // its picture never comes: it is not submitted yet
  const video = await client.videos.create({
    model: "wan2.6-i2v-flash-720p-silent", prompt: "never", seconds: "2", input_reference: { image_url: `${silence}/face.png` },
  });
  assert.equal(video.status, "queued");
  await client.post(`/videos/${video.id}/cancel`);
  const seen = await client.videos.retrieve(video.id);
  assert.equal(seen.status, "failed");
  assert.equal(seen.error.code, "cancelled");
  assert.equal((await call("GET", `/v1/video/generations/${video.id}`)).status, "cancelled");
});
