"""Lines to paste that make a client talk to this gateway. Pure: an address and a model in, texts out.

A model's name is whatever an operator typed, so each text quotes it as its own language does.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from relay.models import Protocol

KEY = "EPITAPH_KEY"  # the variable that all snippets take the client key from: no key is ever part of a text
CHAT, RESPONSES, MESSAGES, GEMINI = Protocol.OPENAI_CHAT, Protocol.OPENAI_RESPONSES, Protocol.ANTHROPIC, Protocol.GEMINI
OLLAMA = Protocol.OLLAMA


@dataclass(frozen=True, slots=True)
class Snippet:
    """One way to ask. `id` names its element; `protocol` is what the client speaks."""

    id: str
    title: str
    protocol: str
    note: str
    text: str


def snippets(address: str, model: str) -> list[Snippet]:
    """All of them: the shell first, then SDKs, then agents."""
    return [
        Snippet("curl", "curl", CHAT, "Streams an answer.", _curl(address, model)),
        Snippet("openai-python", "OpenAI SDK, Python", CHAT, "pip install openai", _openai_python(address, model)),
        Snippet("openai-js", "OpenAI SDK, JavaScript", CHAT, "npm install openai", _openai_js(address, model)),
        Snippet(
            "anthropic-python", "Anthropic SDK, Python", MESSAGES, "pip install anthropic", _anthropic_python(address, model)
        ),
        Snippet(
            "anthropic-js", "Anthropic SDK, JavaScript", MESSAGES, "npm install @anthropic-ai/sdk", _anthropic_js(address, model)
        ),
        Snippet("google-genai", "Google Gen AI SDK, Python", GEMINI, "pip install google-genai", _google_genai(address, model)),
        Snippet(
            "google-genai-js", "Google Gen AI SDK, JavaScript", GEMINI, "npm install @google/genai", _genai_js(address, model)
        ),
        Snippet("ollama-python", "Ollama, Python", OLLAMA, "pip install ollama", _ollama_python(address, model)),
        Snippet("langchain", "LangChain", CHAT, "pip install langchain-openai", _langchain(address, model)),
        Snippet("ai-sdk", "AI SDK", CHAT, "npm install ai @ai-sdk/openai-compatible", _ai_sdk(address, model)),
        Snippet("claude-code", "Claude Code", MESSAGES, "In the shell that starts it.", _claude_code(address, model)),
        Snippet("codex", "Codex", RESPONSES, "In ~/.codex/config.toml.", _codex(address, model)),
        Snippet("gemini-cli", "Gemini CLI", GEMINI, "In the shell that starts it.", _gemini_cli(address, model)),
        Snippet("opencode", "opencode", CHAT, "In ~/.config/opencode/opencode.json.", _opencode(address, model)),
        Snippet("environment", "Anything that speaks OpenAI", CHAT, "Most tools read these.", _environment(address)),
    ]


def _curl(address: str, model: str) -> str:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Say hello."}]}
    return (
        f"curl -N {shlex.quote(address + '/v1/chat/completions')} \\\n"
        f'  -H "Authorization: Bearer ${KEY}" \\\n'
        f"  -H 'Content-Type: application/json' \\\n"
        f"  -d {shlex.quote(json.dumps(body, ensure_ascii=False))}\n"
    )


def _openai_python(address: str, model: str) -> str:
    return f"""import os
from openai import OpenAI

client = OpenAI(base_url={_quoted(address + "/v1")}, api_key=os.environ["{KEY}"])
stream = client.chat.completions.create(
    model={_quoted(model)},
    messages=[{{"role": "user", "content": "Say hello."}}],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
"""


def _openai_js(address: str, model: str) -> str:
    return f"""import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {_quoted(address + "/v1")}, apiKey: process.env.{KEY} }});
const stream = await client.chat.completions.create({{
  model: {_quoted(model)},
  messages: [{{ role: "user", content: "Say hello." }}],
  stream: true,
}});
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
"""


def _anthropic_python(address: str, model: str) -> str:
    return f"""import os
from anthropic import Anthropic

client = Anthropic(base_url={_quoted(address)}, api_key=os.environ["{KEY}"])
with client.messages.stream(
    model={_quoted(model)},
    max_tokens=200,
    messages=[{{"role": "user", "content": "Say hello."}}],
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
"""


def _anthropic_js(address: str, model: str) -> str:
    return f"""import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({{ baseURL: {_quoted(address)}, apiKey: process.env.{KEY} }});
const stream = client.messages.stream({{
  model: {_quoted(model)},
  max_tokens: 200,
  messages: [{{ role: "user", content: "Say hello." }}],
}});
stream.on("text", (text) => process.stdout.write(text));
await stream.finalMessage();
"""


def _google_genai(address: str, model: str) -> str:
    return f"""import os
from google import genai

client = genai.Client(api_key=os.environ["{KEY}"], http_options={{"base_url": {_quoted(address)}}})
for chunk in client.models.generate_content_stream(model={_quoted(model)}, contents="Say hello."):
    print(chunk.text or "", end="", flush=True)
"""


def _genai_js(address: str, model: str) -> str:
    return f"""import {{ GoogleGenAI }} from "@google/genai";

const client = new GoogleGenAI({{ apiKey: process.env.{KEY}, httpOptions: {{ baseUrl: {_quoted(address)} }} }});
const stream = await client.models.generateContentStream({{ model: {_quoted(model)}, contents: "Say hello." }});
for await (const chunk of stream) process.stdout.write(chunk.text ?? "");
"""


def _ollama_python(address: str, model: str) -> str:
    return f"""import os
from ollama import Client

client = Client(host={_quoted(address)}, headers={{"Authorization": "Bearer " + os.environ["{KEY}"]}})
for part in client.chat(model={_quoted(model)}, messages=[{{"role": "user", "content": "Say hello."}}], stream=True):
    print(part.message.content or "", end="", flush=True)
"""


def _langchain(address: str, model: str) -> str:
    return f"""import os
from langchain_openai import ChatOpenAI

model = ChatOpenAI(model={_quoted(model)}, base_url={_quoted(address + "/v1")}, api_key=os.environ["{KEY}"])
for chunk in model.stream("Say hello."):
    print(chunk.content, end="", flush=True)
"""


def _ai_sdk(address: str, model: str) -> str:
    return f"""import {{ createOpenAICompatible }} from "@ai-sdk/openai-compatible";
import {{ streamText }} from "ai";

const epitaph = createOpenAICompatible({{
  name: "epitaph",
  baseURL: {_quoted(address + "/v1")},
  apiKey: process.env.{KEY},
}});
const {{ textStream }} = streamText({{ model: epitaph({_quoted(model)}), prompt: "Say hello." }});
for await (const text of textStream) process.stdout.write(text);
"""


def _claude_code(address: str, model: str) -> str:
    return f"""export ANTHROPIC_BASE_URL={shlex.quote(address)}
export ANTHROPIC_AUTH_TOKEN="${KEY}"
export ANTHROPIC_MODEL={shlex.quote(model)}
claude
"""


def _codex(address: str, model: str) -> str:
    return f"""model = {_quoted(model)}
model_provider = "epitaph"

[model_providers.epitaph]
name = "Epitaph"
base_url = {_quoted(address + "/v1")}
env_key = "{KEY}"
wire_api = "responses"
"""


def _gemini_cli(address: str, model: str) -> str:
    settings = json.dumps({"security": {"auth": {"selectedType": "gemini-api-key"}}})
    return f"""# gemini -p also needs this in ~/.gemini/settings.json: {settings}
export GOOGLE_GEMINI_BASE_URL={shlex.quote(address)}
export GEMINI_API_KEY="${KEY}"
gemini --model {shlex.quote(model)}
"""


def _opencode(address: str, model: str) -> str:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Epitaph",
        "options": {"baseURL": address + "/v1", "apiKey": f"{{env:{KEY}}}"},
        "models": {model: {}},
    }
    settings = {"provider": {"epitaph": provider}, "model": f"epitaph/{model}"}
    return json.dumps(settings, indent=2, ensure_ascii=False) + "\n"


def _environment(address: str) -> str:
    return f"""export OPENAI_BASE_URL={shlex.quote(address + "/v1")}
export OPENAI_API_KEY="${KEY}"
"""


def _quoted(text: str) -> str:
    """A string literal that Python, JavaScript and TOML read alike."""
    return json.dumps(text)
