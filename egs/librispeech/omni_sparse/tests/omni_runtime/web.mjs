// SPDX-License-Identifier: Apache-2.0
//
// For test_web.py: does in node what a page does. Reads a job as JSON and prints what came of it.
// Arguments: the folder that make web made; the job.

import { readFileSync } from "node:fs";

const [folder, text] = process.argv.slice(2);
const job = JSON.parse(text);

function floats(path) {
  const bytes = readFileSync(path);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** Sound through a stream, in pieces; levels take turns, a piece each. */
function hear(model, { levels, size, rules }) {
  const samples = floats(job.samples);
  const numbers = levels.map((name) => model.levels.find((one) => one.name === name).number);
  const stream = model.stream(numbers[0]);
  const ended = [], used = [];
  if (rules) stream.setRules(...rules);
  for (let at = 0, i = 0; at < samples.length; at += size, i++) {
    stream.level = numbers[i % numbers.length];
    used.push(stream.level);
    stream.accept(samples.subarray(at, at + size));
    ended.push(...stream.ended());
  }
  stream.finish();
  ended.push(...stream.ended());
  const { text, tokens, frames } = stream;
  stream.close();
  return { text, tokens, frames, ended, used };
}

async function recognise() {
  const { Runtime } = await import(`${folder}/recognizer.js`);
  const wasm = readFileSync(`${folder}/omni_runtime.wasm`);
  const runtime = await Runtime.load(wasm, job.instructions && { OMNI_INSTRUCTIONS: job.instructions });
  let model;
  try {
    model = runtime.open(readFileSync(job.model));
  } catch (error) {
    return { refused: error.message };
  }
  return { instructions: runtime.instructions, levels: model.levels, heard: job.runs.map((run) => hear(model, run)) };
}

async function resample() {
  const { Resampler } = await import(`${folder}/resample.js`);
  const samples = floats(job.samples);
  const one = new Resampler(job.from, 16000);
  const made = [];
  for (let at = 0; at < samples.length; at += job.size) made.push(...one.accept(samples.subarray(at, at + job.size)));
  return made;
}

console.log(JSON.stringify(await (job.from ? resample() : recognise())));
