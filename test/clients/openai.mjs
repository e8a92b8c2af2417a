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
async function finished(id, by = client) {
  for (;;) {
    const { data, response } = await by.videos.retrieve(id).withResponse();
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
