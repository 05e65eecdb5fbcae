// Asks through each SDK for each model, all at once, and prints one JSON: the text that came, and the error that was raised.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import { streamText } from "ai";
import OpenAI from "openai";

const [address, key, ...models] = process.argv.slice(2);
const openai = () => new OpenAI({ baseURL: `${address}/v1`, apiKey: key, maxRetries: 0 });
const messages = [{ role: "user", content: "Hi." }];

async function* aiSdk(provider, model) {
  let failed;
  const result = streamText({ model: provider(model), prompt: "Hi.", maxRetries: 0, onError: ({ error }) => (failed = error) });
  for await (const text of result.textStream) yield text;
  if (failed) throw failed;
}

const clients = {
  async *"openai-chat"(model) {
    const stream = await openai().chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) yield chunk.choices[0]?.delta?.content ?? "";
  },
  async *"openai-responses"(model) {
    const stream = await openai().responses.create({ model, input: "Hi.", stream: true });
    for await (const event of stream) {
      if (event.type === "response.output_text.delta") yield event.delta;
      if (event.type === "response.failed") throw new Error(event.response.error.message);
    }
  },
  async *anthropic(model) {
    const anthropic = new Anthropic({ baseURL: address, apiKey: key, maxRetries: 0 });
    const stream = await anthropic.messages.create({ model, messages, max_tokens: 99, stream: true });
    for await (const event of stream) if (event.delta?.type === "text_delta") yield event.delta.text;
  },
  async *genai(model) {
    const genai = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: address } });
    for await (const chunk of await genai.models.generateContentStream({ model, contents: "Hi." })) yield chunk.text ?? "";
  },
  "ai-openai": (model) => aiSdk(createOpenAI({ baseURL: `${address}/v1`, apiKey: key }), model),
  "ai-compatible": (model) => aiSdk(createOpenAICompatible({ name: "epitaph", baseURL: `${address}/v1`, apiKey: key }), model),
  "ai-anthropic": (model) => aiSdk(createAnthropic({ baseURL: `${address}/v1`, apiKey: key }), model),
};

async function ask(client, model) {
  let text = "";
  let error = null;
  try {
    for await (const piece of clients[client](model)) text += piece;
  } catch (raised) {
    error = [raised?.message, raised?.responseBody, JSON.stringify(raised?.error ?? raised)].filter(Boolean).join(" ");
  }
  return [`${client} ${model}`, { text, error }];
}

const asked = Object.keys(clients).flatMap((client) => models.map((model) => ask(client, model)));
console.log(JSON.stringify(Object.fromEntries(await Promise.all(asked))));
