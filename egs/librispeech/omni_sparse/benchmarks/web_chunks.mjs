// SPDX-License-Identifier: Apache-2.0
//
// For web_chunks.py: a packed file under WebAssembly. Arguments: the page's folder, the file, samples as float32, kernels.
// Of each line, a level's number, it runs all chunks and answers their milliseconds of processor time, each.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const [folder, file, sound, unit] = process.argv.slice(2);
const { Runtime } = await import(`${folder}/recognizer.js`);
const runtime = await Runtime.load(readFileSync(`${folder}/omni_runtime.wasm`), { OMNI_INSTRUCTIONS: unit });
const model = runtime.open(readFileSync(file));
const bytes = readFileSync(sound);
const samples = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));

function cpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

for await (const line of createInterface({ input: process.stdin })) {
  const stream = model.stream(Number(line));
  const size = model.chunkSamples, chunks = Math.floor(samples.length / size);
  const begin = cpu();
  for (let i = 0; i < chunks; i++) stream.accept(samples.subarray(i * size, (i + 1) * size));
  console.log((cpu() - begin) / chunks);
  stream.close();
}
