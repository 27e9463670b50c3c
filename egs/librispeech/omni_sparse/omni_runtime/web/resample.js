// SPDX-License-Identifier: Apache-2.0
//
// Sound that is coming, from the rate of a microphone to that of the model.

const ZERO_CROSSINGS = 16; // of the sinc on each side
const ROLL_OFF = 0.92; // of the lower rate's half, where the filter ends

/** A band-limited resampler: a sinc under a Hann window. Of pieces it makes what it makes of the whole. */
export class Resampler {
  /** Both are whole numbers, in Hz. */
  constructor(from, to) {
    const cutoff = Math.min(1, to / from) * ROLL_OFF;
    this.step = from / to;
    this.reach = from === to ? 0 : Math.ceil(ZERO_CROSSINGS / cutoff); // samples on each side
    this.kept = new Float32Array(this.reach); // what was before the sound is silence
    this.first = -this.reach; // number of the first sample that is kept
    this.made = 0; // samples so far
    this.filters = new Map(); // by the phase, of which there are as many as `to` has in common with `from`
    this.phases = to;
    this.from = from;
    this.weigh = (t) => {
      if (Math.abs(t) >= this.reach) return 0;
      const x = Math.PI * t * cutoff;
      return cutoff * (x ? Math.sin(x) / x : 1) * (0.5 + 0.5 * Math.cos((Math.PI * t) / this.reach));
    };
  }

  /** All that the samples which are there give. @param {Float32Array} samples */
  accept(samples) {
    if (!this.reach) return samples;
    const all = new Float32Array(this.kept.length + samples.length);
    all.set(this.kept);
    all.set(samples, this.kept.length);
    const end = this.first + all.length;
    const out = [];
    for (;;) {
      const at = this.made * this.from;
      const centre = Math.floor(at / this.phases);
      if (centre + this.reach >= end) break;
      const filter = this.filter(at % this.phases);
      const begin = centre - this.reach + 1 - this.first;
      let sum = 0;
      for (let i = 0; i < filter.length; i++) sum += filter[i] * all[begin + i];
      out.push(sum);
      this.made++;
    }
    const next = Math.floor((this.made * this.from) / this.phases) - this.reach;
    const dropped = Math.max(0, Math.min(all.length, next - this.first));
    this.kept = all.slice(dropped);
    this.first += dropped;
    return Float32Array.from(out);
  }

  /** Weights of the samples around a place that is a part of a sample after one of them. */
  filter(phase) {
    let found = this.filters.get(phase);
    if (!found) {
      const t = phase / this.phases;
      found = Float64Array.from({ length: 2 * this.reach }, (_, i) => this.weigh(i - this.reach + 1 - t));
      const sum = found.reduce((a, b) => a + b);
      found = found.map((weight) => weight / sum);
      this.filters.set(phase, found);
    }
    return found;
  }
}
