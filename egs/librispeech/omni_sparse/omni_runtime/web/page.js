// SPDX-License-Identifier: Apache-2.0
//
// The page: what is chosen goes to the worker, and what it says is shown.

import { aloud, atOnce, decode, microphone } from "./audio.js";

const at = (id) => document.getElementById(id);
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
const tell = (type, values = {}) => worker.postMessage({ type, ...values });

let levels = []; // by sparsity, as the slider has them
let chunkMs = 0;
let source = null; // of the sound that is being heard
let samples = null; // of the last sound file
let name = ""; // of the model

const megabytes = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;

function complain(error) {
  at("error").textContent = error.message ?? error;
  at("error").hidden = false;
}

/** Have an action's error on the page, and none of an earlier one. */
const tried = (action) => async (event) => {
  at("error").hidden = true;
  try {
    await action(event);
  } catch (error) {
    complain(error);
    idle();
  }
};

/* ---- The model ---- */

function open(source, called) {
  stop();
  name = called;
  at("model-name").textContent = `${name} …`;
  tell("open", source);
}

function opened(message) {
  ({ chunkMs } = message);
  levels = message.levels.sort((a, b) => a.sparsity - b.sparsity || b.blocks - a.blocks);
  at("model-name").textContent = `${name}, ${megabytes(message.size)}, ${levels.length} sizes`;
  at("memory").textContent = megabytes(message.memory);
  at("level").max = levels.length - 1;
  at("level").value = 0;
  idle();
  choose();
}

function unopened() {
  levels = [];
  at("model-name").textContent = "No model yet";
  for (const id of ["level-name", "time", "weights", "memory"]) at(id).textContent = "–";
  idle();
}

function choose() {
  const { number, name: called, sparsity, blocks, bytes } = levels[at("level").value];
  const zeros = `${Math.round(100 * sparsity)} %`;
  at("level-name").textContent = `${zeros} (${called})`;
  at("level").setAttribute("aria-valuetext", `${zeros}, ${called}`);
  at("weights").textContent = `${megabytes(bytes)}, ${blocks.toLocaleString("en")} blocks`;
  tell("level", { number });
}

/* ---- Sound ---- */

/** Buttons as they are while nothing is heard. */
function idle() {
  source = null;
  at("state").textContent = "";
  at("stop").hidden = true;
  at("again").hidden = !samples;
  for (const id of ["microphone", "sound", "again", "level"]) at(id).disabled = !levels.length;
}

function begin(what, rate) {
  at("utterances").replaceChildren();
  at("current").textContent = "";
  at("state").textContent = what;
  at("stop").hidden = false;
  at("again").hidden = true;
  for (const id of ["microphone", "sound"]) at(id).disabled = true;
  tell("start", { rate });
}

function stop() {
  source?.stop();
  source = null;
}

const give = (piece) => tell("samples", { samples: piece });
const ended = (drop = false) => tell("end", { drop });

async function listen() {
  const waiting = []; // until the rate is known
  let take = (piece) => waiting.push(piece);
  source = await microphone((piece) => take(piece));
  begin("Listening", source.rate);
  take = give;
  waiting.forEach(give);
}

async function hear() {
  begin("Reading", 16000);
  source = await (at("aloud").checked ? aloud : atOnce)(samples, give, () => ended());
}

async function choseSound() {
  const [file] = at("sound").files;
  at("sound").value = "";
  if (!file) return;
  samples = await decode(file);
  await hear();
}

/* ---- What the worker says ---- */

function heard({ ended: utterances, text, level, ms, behind, memory }) {
  for (const said of utterances.filter(Boolean)) {
    const line = document.createElement("li");
    line.textContent = said;
    at("utterances").append(line);
  }
  at("current").textContent = text;
  at("text").dataset.level = levels.find((one) => one.number === level).name;
  if (ms !== null) at("time").textContent = `${ms.toFixed(1)} ms of ${chunkMs} ms`;
  at("memory").textContent = megabytes(memory);
  if (behind > 1 && source) at("state").textContent = `${behind.toFixed(0)} s behind`;
}

function done() {
  stop();
  idle();
  at("state").textContent = "Done";
}

worker.onmessage = ({ data }) => {
  if (data.type === "opened") opened(data);
  if (data.type === "heard") heard(data);
  if (data.type === "ended") done();
  if (data.type === "error") {
    const wasOpening = at("model-name").textContent.endsWith("…");
    stop();
    complain(data.text.replace(/^packed file:/, `${name}:`));
    if (wasOpening) unopened();
    else idle();
  }
};
worker.onerror = (event) => complain(event.message ?? "The recogniser could not be started.");

at("model").onchange = tried(() => {
  const [file] = at("model").files;
  if (file) open({ file }, file.name);
});
at("level").oninput = choose;
at("microphone").onclick = tried(listen);
at("sound").onchange = tried(choseSound);
at("again").onclick = tried(hear);
at("stop").onclick = () => {
  const drop = source?.isAhead;
  stop();
  ended(drop);
};

const url = new URLSearchParams(location.search).get("model");
if (url) open({ url: new URL(url, location.href).href }, url.split("/").pop());
document.body.dataset.ready = "yes";
