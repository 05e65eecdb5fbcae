// Asks through each SDK for each model, all at once, and prints one JSON: what was heard, and the error that was raised.
// Usage: node ask.mjs ADDRESS KEY MODEL… The model `structured` is asked for JSON of a schema, all others have a tool.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { GoogleGenAI } from "@google/genai";
import { jsonSchema, Output, streamText, tool } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";

const [address, key, ...models] = process.argv.slice(2);
const SAY = [{ role: "user", content: "Hi." }];
const CITY = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const WEATHER = { name: "get_weather", description: "The weather of a city." };

console.warn = () => {}; // the SDKs remark on streams of more than text

const structured = (model) => model.startsWith("structured");
const openai = () => new OpenAI({ baseURL: `${address}/v1`, apiKey: key, maxRetries: 0 });

async function openaiChat(model, heard) {
  const asked = structured(model)
    ? { response_format: { type: "json_schema", json_schema: { name: "place", schema: CITY, strict: true } } }
    : { tools: [{ type: "function", function: { ...WEATHER, parameters: CITY } }] };
  const options = { model, messages: SAY, stream: true, stream_options: { include_usage: true }, ...asked };
  const calls = [];
  for await (const { choices, usage } of await openai().chat.completions.create(options)) {
    const [choice] = choices;
    heard.text += choice?.delta?.content ?? "";
    heard.thoughts += choice?.delta?.reasoning_content ?? "";
    heard.stop = choice?.finish_reason ?? heard.stop;
    if (usage) heard.usage = [usage.prompt_tokens, usage.completion_tokens];
    for (const call of choice?.delta?.tool_calls ?? []) {
      calls[call.index] ??= ["", ""];
      calls[call.index][0] += call.function?.name ?? "";
      calls[call.index][1] += call.function?.arguments ?? "";
    }
  }
  heard.calls = calls.map(([name, text]) => [name, JSON.parse(text)]);
}

async function openaiResponses(model, heard) {
  const asked = structured(model)
    ? { text: { format: { type: "json_schema", name: "place", schema: CITY, strict: true } } }
    : { tools: [{ type: "function", ...WEATHER, parameters: CITY, strict: true }] };
  for await (const event of await openai().responses.create({ model, input: "Hi.", stream: true, ...asked })) {
    if (event.type === "response.output_text.delta") heard.text += event.delta;
    if (event.type === "response.reasoning_summary_text.delta") heard.thoughts += event.delta;
    if (event.type === "response.output_item.done" && event.item.type === "function_call")
      heard.calls.push([event.item.name, JSON.parse(event.item.arguments)]);
    if (event.type === "response.completed" || event.type === "response.incomplete") {
      heard.stop = event.response.incomplete_details?.reason ?? event.response.status;
      heard.usage = [event.response.usage.input_tokens, event.response.usage.output_tokens];
    }
    if (event.type === "error") throw new Error(event.message); // the SDK itself does not raise on an upstream's own error
  }
}

async function anthropic(model, heard) {
  const sdk = new Anthropic({ baseURL: address, apiKey: key, maxRetries: 0 });
  const asked = structured(model)
    ? { output_config: { format: { type: "json_schema", schema: CITY } } }
    : { tools: [{ ...WEATHER, input_schema: CITY }] };
  const stream = sdk.messages.stream({ model, messages: SAY, max_tokens: 900, ...asked });
  stream.on("text", (text) => (heard.text += text));
  stream.on("thinking", (text) => (heard.thoughts += text));
  const answer = await stream.finalMessage();
  heard.calls = answer.content.filter((block) => block.type === "tool_use").map((block) => [block.name, block.input]);
  heard.stop = answer.stop_reason;
  heard.usage = [answer.usage.input_tokens + (answer.usage.cache_read_input_tokens ?? 0), answer.usage.output_tokens];
}

async function genai(model, heard) {
  const sdk = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: address } });
  const config = structured(model)
    ? { responseMimeType: "application/json", responseJsonSchema: CITY }
    : { tools: [{ functionDeclarations: [{ ...WEATHER, parametersJsonSchema: CITY }] }] };
  for await (const chunk of await sdk.models.generateContentStream({ model, contents: "Hi.", config })) {
    const [candidate] = chunk.candidates ?? [];
    for (const part of candidate?.content?.parts ?? []) {
      if (part.functionCall) heard.calls.push([part.functionCall.name, part.functionCall.args]);
      else if (part.thought) heard.thoughts += part.text ?? "";
      else heard.text += part.text ?? "";
    }
    heard.stop = candidate?.finishReason ?? heard.stop;
    const used = chunk.usageMetadata;
    if (used?.totalTokenCount) heard.usage = [used.promptTokenCount, used.candidatesTokenCount + (used.thoughtsTokenCount ?? 0)];
  }
}

async function ollama(model, heard) {
  const sdk = new Ollama({ host: address, headers: { Authorization: `Bearer ${key}` } });
  const asked = structured(model) ? { format: CITY } : { tools: [{ type: "function", function: { ...WEATHER, parameters: CITY } }] };
  for await (const line of await sdk.chat({ model, messages: SAY, stream: true, ...asked })) {
    heard.text += line.message?.content ?? "";
    heard.thoughts += line.message?.thinking ?? "";
    for (const call of line.message?.tool_calls ?? []) heard.calls.push([call.function.name, call.function.arguments]);
    if (line.done) Object.assign(heard, { stop: line.done_reason, usage: [line.prompt_eval_count, line.eval_count] });
  }
}

const aiSdk = (provider) => async (model, heard) => {
  const asked = structured(model)
    ? { output: Output.object({ schema: jsonSchema(CITY) }) }
    : { tools: { get_weather: tool({ ...WEATHER, inputSchema: jsonSchema(CITY) }) } };
  const options = { anthropic: { structuredOutputMode: "outputFormat" } };
  const result = streamText({ model: provider(model), prompt: "Hi.", maxRetries: 0, providerOptions: options, onError() {}, ...asked });
  for await (const part of result.fullStream) {
    if (part.type === "text-delta") heard.text += part.text;
    if (part.type === "reasoning-delta") heard.thoughts += part.text;
    if (part.type === "tool-call") heard.calls.push([part.toolName, part.input]);
    if (part.type === "error") throw part.error;
    if (part.type === "finish")
      Object.assign(heard, { stop: part.finishReason, usage: [part.totalUsage.inputTokens, part.totalUsage.outputTokens] });
  }
};

const clients = {
  "openai-chat": openaiChat,
  "openai-responses": openaiResponses,
  anthropic,
  genai,
  ollama,
  "ai-openai": aiSdk(createOpenAI({ baseURL: `${address}/v1`, apiKey: key })),
  "ai-compatible": aiSdk(
    createOpenAICompatible({ name: "epitaph", baseURL: `${address}/v1`, apiKey: key, includeUsage: true, supportsStructuredOutputs: true }),
  ),
  "ai-anthropic": aiSdk(createAnthropic({ baseURL: `${address}/v1`, apiKey: key })),
  "ai-google": aiSdk(createGoogleGenerativeAI({ baseURL: `${address}/v1beta`, apiKey: key })),
};

async function ask(client, model) {
  const heard = { text: "", thoughts: "", calls: [], stop: null, usage: null, error: null };
  try {
    await clients[client](model, heard);
  } catch (raised) {
    const details = [raised?.responseBody, JSON.stringify(raised?.error ?? raised)].filter(Boolean).join(" ");
    const status = raised?.status ?? raised?.statusCode ?? raised?.status_code ?? null;
    heard.error = { status, message: raised?.message ?? "", details };
  }
  return [`${client} ${model}`, heard];
}

const asked = Object.keys(clients).flatMap((client) => models.map((model) => ask(client, model)));
console.log(JSON.stringify(Object.fromEntries(await Promise.all(asked))));
