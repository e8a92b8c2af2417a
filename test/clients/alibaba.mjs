// The AI SDK with its Alibaba provider, which uses DashScope's API. Only the base URL and
// the key differ from what its users have.
import assert from "node:assert/strict";
import fs from "node:fs";
import test from "node:test";
import { createAlibaba } from "@ai-sdk/alibaba";
import { APICallError, experimental_generateVideo as generateVideo } from "ai";
import { apiKey, assertMP4, countTasks, failOnce, request, samples, serveHTTP, url } from "./harness.mjs";

const sample = (name) => fs.readFileSync(new URL(name, samples));

// generate makes a video of two seconds. It passes its own download function, since the
// SDK's refuses to download from loopback addresses.
function generate(model, options, provider = {}) {
  const { alibaba, ...rest } = options;
  return generateVideo({
    model: createAlibaba({ videoBaseURL: url, apiKey, ...provider }).video(model),
    duration: 2,
    providerOptions: { alibaba: { pollIntervalMs: 500, ...alibaba } },
    download: async ({ url: link }) => ({ data: new Uint8Array(await (await fetch(link)).arrayBuffer()), mediaType: "video/mp4" }),
    ...rest,
  });
}

// assertGenerated expects a video without warnings and returns the provider's metadata.
function assertGenerated({ video, warnings, providerMetadata }) {
  assertMP4(video.uint8Array);
  assert.equal(video.mediaType, "video/mp4");
  assert.deepEqual(warnings, []);
  return providerMetadata.alibaba;
}

test("text to video", async () => {
  const metadata = assertGenerated(await generate("wan2.6-t2v", { prompt: "waves at dusk", resolution: "720x1280", seed: 7 }));
  assert.deepEqual({ ...metadata.usage }, { duration: 2, outputVideoDuration: 2, resolution: 720, size: "720*1280", inputVideoDuration: 0 });
  const task = await request("GET", `/v1/videos/${metadata.taskId}`);
  assert.deepEqual([task.resolved_model, task.prompt, task.seconds, task.status], ["wan2.6-video-720p", "waves at dusk", "2", "completed"]);
});

test("image to video, image as bytes", async () => {
  const metadata = assertGenerated(await generate("wan2.6-i2v-flash", {
    prompt: { image: sample("ref-2.png"), text: "the lamp glows" }, resolution: "1280x720", generateAudio: false,
  }));
  const task = await request("GET", `/v1/videos/${metadata.taskId}`);
  assert.equal(task.resolved_model, "wan2.6-i2v-flash-720p-silent");
});

test("references to video, references as URLs", async (t) => {
  const origin = await serveHTTP(t, (incoming, response) => response.end(sample(incoming.url.slice(1))));
  const metadata = assertGenerated(await generate("wan2.6-r2v-flash", {
    prompt: "character1 meets character2", resolution: "1280x720",
    alibaba: { referenceUrls: [`${origin}/ref-1.png`, `${origin}/reference-shot-1.mp4`], shotType: "multi" },
  }));
  assert.ok(metadata.usage.inputVideoDuration > 0, "the reference video is not billed");
  assert.equal(metadata.usage.duration, metadata.usage.inputVideoDuration + metadata.usage.outputVideoDuration);
  const task = await request("GET", `/v1/videos/${metadata.taskId}`);
  assert.equal(task.resolved_model, "wan2.6-r2v-flash-720p-audio");
});

test("references to video with wan2.7, references as bytes", async () => {
  const metadata = assertGenerated(await generate("wan2.7-r2v", {
    prompt: "Image 1 smiles", resolution: "1280x720", inputReferences: [sample("ref-1.png")],
  }));
  assert.equal(metadata.usage.resolution, 720);
});

test("errors are the SDK's own types and name the field", async () => {
  const before = await countTasks();
  const assertFails = async (promise, status, expected) => {
    const error = await promise.then(() => assert.fail("the request was accepted"), (rejection) => rejection);
    assert.ok(APICallError.isInstance(error), String(error));
    assert.equal(error.statusCode, status);
    assert.match(error.message, expected);
  };
  await assertFails(generate("wan2.6-t2v", { prompt: "waves", duration: 99 }), 400, /parameters\.duration/);
  await assertFails(generate("wan2.6-r2v", { prompt: "nobody" }), 400, /input\.reference_urls/);
  await assertFails(generate("wan2.6-t2v", { prompt: "waves" }, { apiKey: "sk-wrong" }), 401, /key/i);
  assert.equal(await countTasks(), before);

  const failed = generate("wan2.6-r2v", { prompt: "character1 walks", alibaba: { referenceUrls: ["https://nowhere.invalid/a.png"] } });
  await assert.rejects(failed, { name: "ALIBABA_VIDEO_GENERATION_FAILED", message: /nowhere\.invalid|reference/ });
});

test("a create that fails with 500 is retried and makes one task", async () => {
  const flakyFetch = failOnce("POST", /\/video-synthesis$/);
  const before = await countTasks();
  assertGenerated(await generate("wan2.6-t2v", { prompt: "waves", resolution: "1280x720" }, { fetch: flakyFetch }));
  assert.equal(flakyFetch.hits, 1);
  assert.equal(await countTasks(), before + 1);
});

// After a poll that fails with 500 this version of the SDK starts again with the create.
// A user who wants only one task must set an idempotency key.
test("with an idempotency key a poll that fails with 500 makes no second task", async () => {
  const flakyFetch = failOnce("GET", /\/api\/v1\/tasks\//);
  const before = await countTasks();
  assertGenerated(await generate("wan2.6-t2v", {
    prompt: "waves", resolution: "1280x720", headers: { "Idempotency-Key": "shot 7" },
  }, { fetch: flakyFetch }));
  assert.equal(flakyFetch.hits, 1);
  assert.equal(await countTasks(), before + 1);
});
