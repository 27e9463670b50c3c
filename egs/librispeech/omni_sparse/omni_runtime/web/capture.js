// SPDX-License-Identifier: Apache-2.0
//
// In the thread of sound: gives what comes in, as one channel.

registerProcessor(
  "capture",
  class extends AudioWorkletProcessor {
    process([channels]) {
      if (!channels.length) return true;
      const mixed = new Float32Array(channels[0].length);
      for (const channel of channels) for (let i = 0; i < mixed.length; i++) mixed[i] += channel[i] / channels.length;
      this.port.postMessage(mixed, [mixed.buffer]);
      return true;
    }
  },
);
