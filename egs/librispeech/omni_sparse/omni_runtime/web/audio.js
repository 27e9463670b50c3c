// SPDX-License-Identifier: Apache-2.0
//
// Where sound comes from. Each gives pieces of samples to a function, until its stop() is called; one that isAhead has
// given what is not yet heard.

const RATE = 16000;
const WHY = {
  NotAllowedError: "The microphone was not allowed. Allow it in the browser's settings of this page.",
  NotFoundError: "No microphone was found.",
  NotReadableError: "The microphone is in use elsewhere.",
};

/** The microphone, at a rate of its own. */
export async function microphone(give) {
  if (!navigator.mediaDevices?.getUserMedia)
    throw new Error("A browser gives the microphone to pages of https or localhost only.");
  let input;
  try {
    input = await navigator.mediaDevices.getUserMedia({ audio: true });
  } catch (error) {
    throw new Error(WHY[error.name] ?? `The microphone cannot be used: ${error.message}`);
  }
  const context = new AudioContext();
  const stop = () => {
    input.getTracks().forEach((track) => track.stop());
    return context.close();
  };
  try {
    await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
    const capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    capture.port.onmessage = ({ data }) => give(data);
    context.createMediaStreamSource(input).connect(capture);
    await context.resume();
  } catch (error) {
    stop();
    throw new Error(`The microphone cannot be used: ${error.message}`);
  }
  return { rate: context.sampleRate, stop };
}

/** The samples of a sound file at 16 kHz, as one channel. */
export async function decode(file) {
  const context = new OfflineAudioContext(1, 1, RATE);
  let sound;
  try {
    sound = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new Error(`${file.name} is no sound that this browser can read.`);
  }
  const mixed = new Float32Array(sound.length);
  for (let c = 0; c < sound.numberOfChannels; c++) {
    const channel = sound.getChannelData(c);
    for (let i = 0; i < mixed.length; i++) mixed[i] += channel[i] / sound.numberOfChannels;
  }
  return mixed;
}

/** Samples at 16 kHz all at once. */
export function atOnce(samples, give, ended) {
  give(samples);
  ended();
  return { isAhead: true, stop() {} };
}

/** The same aloud: given as they are heard. */
export async function aloud(samples, give, ended) {
  const context = new AudioContext();
  const buffer = context.createBuffer(1, Math.max(1, samples.length), RATE);
  buffer.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(context.destination);
  await context.resume();
  const begin = context.currentTime;
  let given = 0;
  source.start();
  const timer = setInterval(() => {
    const now = Math.min(samples.length, Math.floor((context.currentTime - begin) * RATE));
    if (now > given) give(samples.slice(given, now));
    given = now;
    if (given === samples.length) {
      clearInterval(timer);
      ended();
    }
  }, 50);
  return {
    stop() {
      clearInterval(timer);
      return context.close();
    },
  };
}
