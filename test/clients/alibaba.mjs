// The AI SDK with its Alibaba provider, which speaks DashScope's API: another base
// URL and key.
import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";
import { createAlibaba } from "@ai-sdk/alibaba";
import { APICallError, experimental_generateVideo as generateVideo } from "ai";
import { apiKey, broken, call, count, isFilm, listen, samples, url } from "./world.mjs";

const sample = (name) => fs.readFileSync(new URL(name, samples));

// film asks for two seconds; the SDK itself downloads nothing from this machine.
function film(model, asked, provider = {}) {
  const { alibaba, ...rest } = asked;
  return generateVideo({
    model: createAlibaba({ videoBaseURL: url, apiKey, ...provider }).video(model),
    duration: 2,
    providerOptions: { alibaba: { pollIntervalMs: 500, ...alibaba } },
    download: async ({ url: link }) => ({ data: new Uint8Array(await (await fetch(link)).arrayBuffer()), mediaType: "video/mp4" }),
    ...rest,
  });
}

// made wants a film and no warning; it gives what the provider says of it.
function made({ video, warnings, providerMetadata }) {
  isFilm(video.uint8Array);
  assert.equal(video.mediaType, "video/mp4");
  assert.deepEqual(warnings, []);
  return providerMetadata.alibaba;
}

test("text to video", async () => {
  const said = made(await film("wan2.6-t2v", { prompt: "waves at dusk", resolution: "720x1280", seed: 7 }));
  assert.deepEqual({ ...said.usage }, { duration: 2, outputVideoDuration: 2, resolution: 720, size: "720*1280", inputVideoDuration: 0 });
  const task = await call("GET", `/v1/videos/${said.taskId}`);
  assert.deepEqual([task.resolved_model, task.prompt, task.seconds, task.status], ["wan2.6-video-720p", "waves at dusk", "2", "completed"]);
});

test("image to video, from bytes", async () => {
  const said = made(await film("wan2.6-i2v-flash", { prompt: { image: sample("ref-2.png"), text: "the lamp glows" }, resolution: "1280x720", generateAudio: false }));
  const task = await call("GET", `/v1/videos/${said.taskId}`);
  assert.equal(task.resolved_model, "wan2.6-i2v-flash-720p-silent");
});

test("references to video, from a picture's and a video's address", async (t) => {
  const studio = await listen(t, (request, answer) => answer.end(sample(request.url.slice(1))));
  const said = made(await film("wan2.6-r2v-flash", {
    prompt: "character1 meets character2", resolution: "1280x720",
    alibaba: { referenceUrls: [`${studio}/ref-1.png`, `${studio}/reference-shot-1.mp4`], shotType: "multi" },
  }));
  assert.ok(said.usage.inputVideoDuration > 0, "the reference video is not billed");
  assert.equal(said.usage.duration, said.usage.inputVideoDuration + said.usage.outputVideoDuration);
  const task = await call("GET", `/v1/videos/${said.taskId}`);
  assert.equal(task.resolved_model, "wan2.6-r2v-flash-720p-audio");
});

test("references to video, from bytes, by a newer model", async () => {
  const said = made(await film("wan2.7-r2v", { prompt: "Image 1 smiles", resolution: "1280x720", inputReferences: [sample("ref-1.png")] }));
  assert.equal(said.usage.resolution, 720);
});

test("errors are the SDK's own, and say what is wrong", async () => {
  const before = await count();
  const wrong = async (doing, status, said) => {
    const error = await doing.then(() => assert.fail("it was taken"), (refusal) => refusal);
    assert.ok(APICallError.isInstance(error), String(error));
    assert.equal(error.statusCode, status);
    assert.match(error.message, said);
  };
  await wrong(film("wan2.6-t2v", { prompt: "waves", duration: 99 }), 400, /parameters\.duration/);
  await wrong(film("wan2.6-r2v", { prompt: "nobody" }), 400, /input\.reference_urls/);
  await wrong(film("wan2.6-t2v", { prompt: "waves" }, { apiKey: "sk-wrong" }), 401, /key/i);
  assert.equal(await count(), before);

  const lost = film("wan2.6-r2v", { prompt: "character1 walks", alibaba: { referenceUrls: ["https://nowhere.invalid/a.png"] } });
  await assert.rejects(lost, { name: "ALIBABA_VIDEO_GENERATION_FAILED", message: /nowhere\.invalid|reference/ });
});

test("a 500 to a create is sent again, and makes one task", async () => {
  const network = broken("POST", /\/video-synthesis$/);
  const before = await count();
  made(await film("wan2.6-t2v", { prompt: "waves", resolution: "1280x720" }, { fetch: network }));
  assert.equal(network.hits, 1);
  assert.equal(await count(), before + 1);
});

// After a poll's 500 this version begins again with the create: who wants one task
// gives an idempotency key.
test("a 500 to a poll makes no second task, by an idempotency key", async () => {
  const network = broken("GET", /\/api\/v1\/tasks\//);
  const before = await count();
  made(await film("wan2.6-t2v", { prompt: "waves", resolution: "1280x720", headers: { "Idempotency-Key": "shot 7" } }, { fetch: network }));
  assert.equal(network.hits, 1);
  assert.equal(await count(), before + 1);
});
