// SPDX-License-Identifier: Apache-2.0
//
// omni_runtime compiled to WebAssembly: what omni_runtime.h declares, as objects. For pages, workers and node.

const ERROR_BYTES = 400; // of omni_error
const ALIGNMENT = 64; // of a packed file in memory

/** What the library refuses, in its words. */
export class Refused extends Error {}

/** The few functions of a system that its C library asks for: there are variables of an environment, and no files. */
function system(memory, environment) {
  const texts = Object.entries(environment).map(([name, value]) => new TextEncoder().encode(`${name}=${value}\0`));
  const numbers = () => new DataView(memory().buffer);
  const noSuchFile = () => 8;
  return {
    environ_sizes_get(count, size) {
      numbers().setUint32(count, texts.length, true);
      numbers().setUint32(size, texts.reduce((sum, text) => sum + text.length, 0), true);
      return 0;
    },
    environ_get(list, at) {
      for (const text of texts) {
        numbers().setUint32(list, at, true);
        new Uint8Array(memory().buffer).set(text, at);
        list += 4;
        at += text.length;
      }
      return 0;
    },
    fd_close: noSuchFile,
    fd_seek: noSuchFile,
    fd_write: noSuchFile,
    proc_exit(status) {
      throw new Error(`the recogniser has ended with status ${status}`);
    },
  };
}

/** The library, in memory of its own. */
export class Runtime {
  /**
   * @param {BufferSource} bytes of omni_runtime.wasm
   * @param {Object<string, string>} environment e.g. {OMNI_INSTRUCTIONS: "plain"}
   */
  static async load(bytes, environment = {}) {
    const runtime = new Runtime();
    const given = system(() => runtime.c.memory, environment);
    const { instance } = await WebAssembly.instantiate(bytes, { wasi_snapshot_preview1: given });
    runtime.c = instance.exports;
    runtime.c._initialize();
    runtime.error = runtime.take(ERROR_BYTES);
    return runtime;
  }

  /** Name of the kernels that are used. */
  get instructions() {
    return this.text(this.c.omni_instructions());
  }

  /** Bytes of memory that it has taken so far. */
  get bytes() {
    return this.c.memory.buffer.byteLength;
  }

  /** Open a packed file. @param {Uint8Array} file */
  open(file) {
    return new Model(this, file);
  }

  /** Memory for so many bytes, at a multiple of 64. */
  take(size) {
    const pointer = this.c.aligned_alloc(ALIGNMENT, Math.ceil(size / ALIGNMENT) * ALIGNMENT) >>> 0;
    if (!pointer) throw new Refused("no memory is left");
    return pointer;
  }

  /** What a function gives that takes an omni_error last; throws what that says if it is nothing. */
  call(name, ...values) {
    const result = this.c[name](...values, this.error);
    if (!result) throw new Refused(this.text(this.error));
    return result;
  }

  /** The text at a pointer. */
  text(pointer) {
    const bytes = new Uint8Array(this.c.memory.buffer, pointer >>> 0);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
  }
}

/** A packed file; see omni_model. */
class Model {
  constructor(runtime, file) {
    this.runtime = runtime;
    this.data = runtime.take(file.length);
    new Uint8Array(runtime.c.memory.buffer).set(file, this.data);
    try {
      this.handle = runtime.call("omni_model_open_memory", this.data, file.length);
    } catch (error) {
      runtime.c.free(this.data);
      throw error;
    }
    const { c } = runtime;
    const { handle } = this;
    this.chunkSamples = c.omni_model_chunk_samples(handle);
    this.levels = Array.from({ length: c.omni_model_num_levels(handle) }, (_, number) => ({
      number,
      name: runtime.text(c.omni_model_level_name(handle, number)),
      sparsity: c.omni_model_level_sparsity(handle, number),
      blocks: Number(c.omni_model_level_blocks(handle, number)),
      bytes: Number(c.omni_model_level_bytes(handle, number)),
    }));
  }

  /** A stream at the level of a number. */
  stream(level, beamSize = 1) {
    return new Stream(this, level, beamSize);
  }

  /** After its streams. */
  close() {
    this.runtime.c.omni_model_close(this.handle);
    this.runtime.c.free(this.data);
  }
}

/** Sound that is coming; see omni_stream. */
class Stream {
  constructor(model, level, beamSize) {
    this.runtime = model.runtime;
    this.handle = this.runtime.call("omni_stream_open_beam", model.handle, level, beamSize);
    this.room = 0;
  }

  /** When utterances end, in seconds: silence, silence after words, length. */
  setRules(silence = 2.4, silenceAfterWords = 1.2, length = 20) {
    const rules = this.runtime.take(24);
    new Float64Array(this.runtime.c.memory.buffer, rules, 3).set([silence, silenceAfterWords, length]);
    try {
      this.runtime.call("omni_stream_set_rules", this.handle, rules);
    } finally {
      this.runtime.c.free(rules);
    }
  }

  /** Take samples at 16 kHz in [-1, 1]. @param {Float32Array} samples */
  accept(samples) {
    const { c } = this.runtime;
    if (samples.length > this.room) {
      if (this.samples) c.free(this.samples);
      this.samples = this.runtime.take(4 * samples.length);
      this.room = samples.length;
    }
    if (samples.length) new Float32Array(c.memory.buffer, this.samples, samples.length).set(samples);
    this.runtime.call("omni_stream_accept", this.handle, this.samples ?? 0, samples.length);
  }

  /** The sound has ended. */
  finish() {
    this.runtime.call("omni_stream_finish", this.handle);
  }

  get level() {
    return this.runtime.c.omni_stream_level(this.handle);
  }

  set level(number) {
    this.runtime.call("omni_stream_set_level", this.handle, number);
  }

  /** What the utterance says so far. */
  get text() {
    return this.runtime.text(this.runtime.c.omni_stream_text(this.handle));
  }

  get tokens() {
    const { c } = this.runtime;
    const number = c.omni_stream_num_tokens(this.handle);
    return number ? [...new Int32Array(c.memory.buffer, c.omni_stream_tokens(this.handle), number)] : [];
  }

  /** Encoder frames of the tokens. */
  get frames() {
    const { c } = this.runtime;
    const number = c.omni_stream_num_tokens(this.handle);
    const found = number ? [...new BigInt64Array(c.memory.buffer, c.omni_stream_frames(this.handle), number)] : [];
    return found.map(Number);
  }

  /** Texts of the utterances that have ended by a rule; some may be empty. After each accept and finish. */
  ended() {
    const found = [];
    while (this.runtime.c.omni_stream_endpoint(this.handle)) {
      found.push(this.text);
      this.runtime.call("omni_stream_next_utterance", this.handle);
    }
    return found;
  }

  close() {
    this.runtime.c.omni_stream_close(this.handle);
    if (this.samples) this.runtime.c.free(this.samples);
  }
}
