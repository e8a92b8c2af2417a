// What the server tells of its tasks, verified by others: the library of Standard
// Webhooks and OpenAI's client.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { apiKey, call, listen, url } from "./world.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey });
const { InvalidWebhookSignatureError } = OpenAI;

// receiver collects deliveries; next gives the oldest one that nobody took yet.
async function receiver(t) {
  const come = [], waiting = [];
  const hook = await listen(t, async (request, answer) => {
    let body = "";
    for await (const part of request) body += part;
    answer.writeHead(204).end();
    const delivery = { body, headers: request.headers };
    if (waiting.length > 0) waiting.shift()(delivery);
    else come.push(delivery);
  });
  return { hook, next: () => come.shift() ?? new Promise((give) => waiting.push(give)) };
}

// accepted wants the same event from both.
async function accepted({ body, headers }, secret) {
  const event = new Webhook(secret).verify(body, headers);
  assert.deepEqual(await client.webhooks.unwrap(body, headers, secret), event);
  return event;
}

async function refused({ body, headers }, secret) {
  assert.throws(() => new Webhook(secret).verify(body, headers), WebhookVerificationError);
  await assert.rejects(client.webhooks.unwrap(body, headers, secret), InvalidWebhookSignatureError);
}

test("a video's webhook_url is told of it, and both verify it", async (t) => {
  const { hook, next } = await receiver(t);
  const { secret } = await call("GET", "/v1/webhooks/default/secret");
  const video = await client.videos.create({ model: "wan2.6-video-720p", prompt: "waves", seconds: "2", webhook_url: hook });
  for (const type of ["video.queued", "video.in_progress", "video.completed"]) {
    const delivery = await next();
    const event = await accepted(delivery, secret);
    assert.equal(event.object, "event");
    assert.equal(event.type, type);
    assert.equal(event.id, delivery.headers["webhook-id"]);
    assert.equal(event.data.id, video.id);

    await refused({ ...delivery, body: delivery.body.replace(video.id, "task_another") }, secret);
    await refused({ ...delivery, headers: { ...delivery.headers, "webhook-id": "evt_another" } }, secret);
    await refused(delivery, `whsec_${Buffer.alloc(32, 1).toString("base64")}`);
    const old = String(Math.floor(Date.now() / 1000) - 400);
    await refused({ ...delivery, headers: { ...delivery.headers, "webhook-timestamp": old } }, secret);
  }
});

test("a new secret signs beside the old one while it is kept", async (t) => {
  const { hook, next } = await receiver(t);
  const { id, secret: first } = await call("POST", "/v1/webhooks", { url: hook, events: ["video.completed"] });
  const told = async () => {
    await call("POST", `/v1/webhooks/${id}/test`, {});
    return next();
  };
  assert.equal((await accepted(await told(), first)).type, "webhook.test");

  const { secret: second } = await call("POST", `/v1/webhooks/${id}/secret`, { keep_seconds: 3600 });
  const both = await told();
  await accepted(both, first);
  await accepted(both, second);

  const { secret: third } = await call("POST", `/v1/webhooks/${id}/secret`, { keep_seconds: 0 });
  const last = await told();
  await accepted(last, third);
  await refused(last, first);
  await refused(last, second);
});
