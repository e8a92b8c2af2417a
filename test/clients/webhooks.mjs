// Webhooks of the server, verified with the library of Standard Webhooks and with OpenAI's
// client.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { apiKey, request, serveHTTP, url } from "./harness.mjs";

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey });
const { InvalidWebhookSignatureError } = OpenAI;

// receiver starts an endpoint that collects deliveries. next returns the oldest one that it
// has not returned yet, and waits for one if there is none.
async function receiver(t) {
  const received = [];
  const waiters = [];
  const endpoint = await serveHTTP(t, async (incoming, response) => {
    let body = "";
    for await (const part of incoming) body += part;
    response.writeHead(204).end();
    const delivery = { body, headers: incoming.headers };
    if (waiters.length > 0) waiters.shift()(delivery);
    else received.push(delivery);
  });
  return { endpoint, next: () => received.shift() ?? new Promise((resolve) => waiters.push(resolve)) };
}

// assertVerified checks that both libraries verify a delivery and return the same event.
async function assertVerified({ body, headers }, secret) {
  const event = new Webhook(secret).verify(body, headers);
  assert.deepEqual(await client.webhooks.unwrap(body, headers, secret), event);
  return event;
}

// assertRejected checks that both libraries reject the signature of a delivery.
async function assertRejected({ body, headers }, secret) {
  assert.throws(() => new Webhook(secret).verify(body, headers), WebhookVerificationError);
  await assert.rejects(client.webhooks.unwrap(body, headers, secret), InvalidWebhookSignatureError);
}

test("both libraries verify the deliveries to a video's webhook_url", async (t) => {
  const { endpoint, next } = await receiver(t);
  const { secret } = await request("GET", "/v1/webhooks/default/secret");
  const video = await client.videos.create({ model: "wan2.6-video-720p", prompt: "waves", seconds: "2", webhook_url: endpoint });
  for (const type of ["video.queued", "video.in_progress", "video.completed"]) {
    const delivery = await next();
    const event = await assertVerified(delivery, secret);
    assert.equal(event.object, "event");
    assert.equal(event.type, type);
    assert.equal(event.id, delivery.headers["webhook-id"]);
    assert.equal(event.data.id, video.id);

    await assertRejected({ ...delivery, body: delivery.body.replace(video.id, "task_another") }, secret);
    await assertRejected({ ...delivery, headers: { ...delivery.headers, "webhook-id": "evt_another" } }, secret);
    await assertRejected(delivery, `whsec_${Buffer.alloc(32, 1).toString("base64")}`);
    const old = String(Math.floor(Date.now() / 1000) - 400);
    await assertRejected({ ...delivery, headers: { ...delivery.headers, "webhook-timestamp": old } }, secret);
  }
});

test("while the old secret is kept, deliveries are signed with both secrets", async (t) => {
  const { endpoint, next } = await receiver(t);
  const { id, secret: first } = await request("POST", "/v1/webhooks", { url: endpoint, events: ["video.completed"] });
  const sendTest = async () => {
    await request("POST", `/v1/webhooks/${id}/test`, {});
    return next();
  };
  assert.equal((await assertVerified(await sendTest(), first)).type, "webhook.test");

  const { secret: second } = await request("POST", `/v1/webhooks/${id}/secret`, { keep_seconds: 3600 });
  const both = await sendTest();
  await assertVerified(both, first);
  await assertVerified(both, second);

  const { secret: third } = await request("POST", `/v1/webhooks/${id}/secret`, { keep_seconds: 0 });
  const last = await sendTest();
  await assertVerified(last, third);
  await assertRejected(last, first);
  await assertRejected(last, second);
});
