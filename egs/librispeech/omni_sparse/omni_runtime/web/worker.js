// SPDX-License-Identifier: Apache-2.0
//
// Runs the model beside the page. It takes messages {type, ...}: open, level, start, samples, end; and gives
// opened, heard (after each chunk), ended, error.

import { Runtime } from "./recognizer.js";
import { Resampler } from "./resample.js";

const RATE = 16000;
const REMEMBERED = 8; // chunks of which the time is told

let runtime, model, stream, resampler;
let level = 0;
let queue = []; // samples that are still to be heard
let queued = 0, isLast = false, isRunning = false;
let times = [];

const say = (type, values = {}) => postMessage({ type, ...values });

async function bytesOf({ file, url }) {
  if (file) return new Uint8Array(await file.arrayBuffer());
  let response;
  try {
    response = await fetch(url);
  } catch {
    throw new Error(`${url} cannot be fetched. Is it there, and may this page read it?`);
  }
  if (!response.ok) throw new Error(`${url} cannot be fetched: ${response.status} ${response.statusText}`.trim());
  return new Uint8Array(await response.arrayBuffer());
}

async function load() {
  const response = await fetch(new URL("omni_runtime.wasm", import.meta.url));
  if (!response.ok) throw new Error("omni_runtime.wasm is not beside this page. Was it built with make web?");
  try {
    return await Runtime.load(await response.arrayBuffer());
  } catch (error) {
    throw new Error(`This browser cannot run the recogniser, which takes WebAssembly with SIMD (${error.message})`);
  }
}

function closeStream() {
  stream?.close();
  stream = undefined;
  queue = [];
  queued = 0;
}

async function open(source) {
  const bytes = await bytesOf(source);
  closeStream();
  model = undefined;
  runtime = await load(); // anew: memory that was taken is never given back
  model = runtime.open(bytes);
  level = 0;
  const { chunkSamples, levels } = model;
  say("opened", { levels, chunkMs: (1000 * chunkSamples) / RATE, size: bytes.length, memory: runtime.bytes });
}

function start({ rate }) {
  if (!model) throw new Error("Choose a packed file first.");
  closeStream();
  stream = model.stream(level);
  stream.setRules();
  resampler = new Resampler(rate, RATE);
  isLast = false;
  times = [];
}

function useLevel({ number }) {
  level = number;
  times = [];
  if (stream) stream.level = number;
}

function take({ samples }) {
  if (!stream) return;
  const more = resampler.accept(samples);
  queue.push(more);
  queued += more.length;
  goOn();
}

/** The next samples of the queue, as many as a chunk takes if there are. */
function next() {
  const piece = new Float32Array(Math.min(queued, model.chunkSamples));
  for (let filled = 0; filled < piece.length; ) {
    const part = queue[0].subarray(0, piece.length - filled);
    piece.set(part, filled);
    filled += part.length;
    if (part.length === queue[0].length) queue.shift();
    else queue[0] = queue[0].subarray(part.length);
  }
  queued -= piece.length;
  return piece;
}

function report(ended) {
  const ms = times.length ? times.reduce((a, b) => a + b) / times.length : null;
  const behind = queued / RATE;
  say("heard", { ended, text: stream.text, level: stream.level, ms, behind, memory: runtime.bytes });
}

/** Hear what is there, a chunk a turn, so that messages come in between. */
function run() {
  isRunning = false;
  if (!stream) return;
  if (queued >= model.chunkSamples || (isLast && queued)) {
    const piece = next();
    const begin = performance.now();
    stream.accept(piece);
    const ended = stream.ended();
    if (piece.length === model.chunkSamples) times = [...times, performance.now() - begin].slice(-REMEMBERED);
    report(ended);
    goOn();
  } else if (isLast) {
    stream.finish();
    report(stream.ended());
    closeStream();
    say("ended");
  }
}

const turns = new MessageChannel();
turns.port1.onmessage = () => guarded(run);

function goOn() {
  if (!isRunning) turns.port2.postMessage(0);
  isRunning = true;
}

/** The sound has ended; or is not wanted, where what is still to be heard is to be dropped. */
function end({ drop }) {
  if (!stream) return say("ended");
  if (drop) {
    queue = [];
    queued = 0;
  }
  const { reach } = resampler;
  if (reach) take({ samples: new Float32Array(reach + 1) }); // what the filter still waits for
  isLast = true;
  goOn();
}

async function guarded(action, message) {
  try {
    await action(message);
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) stream = model = undefined; // of which nothing is known any more
    closeStream();
    say("error", { text: error.message });
  }
}

const ACTIONS = { open, level: useLevel, start, samples: take, end };
let before = Promise.resolve(); // messages wait for one another
onmessage = ({ data }) => (before = before.then(() => guarded(ACTIONS[data.type], data)));
