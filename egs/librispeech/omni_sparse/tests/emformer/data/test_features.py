# SPDX-License-Identifier: Apache-2.0
"""Four implementations of the features, held together."""

import numpy as np
import pytest
import torch

from emformer.data.features import NUM_MEL_BINS, has_kaldifeat, make_extractor
from emformer.errors import RecipeError
from tests.support.optional_packages import torchaudio_or_skip

RATE = 16000
# Float32 FFTs differ by some 1e-7 of a frame's energy: the weakest bands of a loud frame differ by
# up to 7e-4 in real recordings.
TOLERANCE = 1e-3


def speech_like(seconds: float, seed: int) -> np.ndarray:
    """Voiced and unvoiced stretches and pauses, at the levels of read speech, in [-1, 1]."""
    rng = np.random.default_rng(seed)
    pieces = []
    total = 0
    while total < seconds * RATE:
        n = int(rng.uniform(0.05, 0.25) * RATE)
        time = np.arange(n) / RATE
        kind = rng.integers(3)
        if kind == 0:  # a pulse train's harmonics under three formants
            pitch = rng.uniform(80, 250) * (1 + 0.1 * time)
            piece = np.zeros(n)
            formants = rng.uniform((300, 900, 2200), (800, 2000, 3500))
            for h in range(1, 40):
                gain = sum(1 / (1 + ((h * pitch.mean() - f) / 120) ** 2) for f in formants)
                piece += gain * np.sin(2 * np.pi * h * pitch * time + rng.uniform(0, 6.28))
            piece *= 0.05
        elif kind == 1:  # friction
            piece = 0.03 * np.diff(rng.standard_normal(n + 1))
        else:  # a pause
            piece = np.zeros(n)
        pieces.append(piece * np.hanning(n) ** 0.25)
        total += n
    samples = np.concatenate(pieces)[: int(seconds * RATE)]
    # The room hums at low frequencies; the lowest bands of a hiss would be all but empty otherwise.
    hum = np.convolve(rng.standard_normal(len(samples)), 0.97 ** np.arange(300), mode="same")
    samples += 2e-3 * hum
    # 16 bits, as in every corpus file
    return (np.round(np.clip(samples, -1, 1) * 32767) / 32768).astype(np.float32)


def lhotse_fbank(samples):
    return make_extractor(backend="lhotse").extract(samples, sampling_rate=RATE)


def torchaudio_fbank(samples):
    kaldi = torchaudio_or_skip("torchaudio.compliance.kaldi")
    return kaldi.fbank(
        torch.from_numpy(samples)[None],
        num_mel_bins=80,
        sample_frequency=RATE,
        dither=0.0,
        snip_edges=False,
        high_freq=-400.0,
    ).numpy()


def native_fbank(samples):
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = RATE
    options.frame_opts.dither = 0.0
    options.frame_opts.snip_edges = False
    options.mel_opts.num_bins = 80
    options.mel_opts.high_freq = -400.0
    fbank = knf.OnlineFbank(options)
    fbank.accept_waveform(RATE, samples.tolist())
    fbank.input_finished()
    return np.stack([fbank.get_frame(n) for n in range(fbank.num_frames_ready)])


def kaldifeat_fbank(samples):
    if not has_kaldifeat():
        pytest.skip("kaldifeat is NOT INSTALLED: its features are not compared with the others")
    return make_extractor(backend="kaldifeat").extract(samples, sampling_rate=RATE)


@pytest.mark.parametrize("seconds", [0.1, 1.234, 5.0])
@pytest.mark.parametrize("other", [torchaudio_fbank, native_fbank, kaldifeat_fbank])
def test_implementations_agree(other, seconds):
    samples = speech_like(seconds, seed=int(seconds * 1000))
    ours, theirs = lhotse_fbank(samples), other(samples)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("num_samples", [400, 1599, 1600, 1679, 1680, 16000])
def test_frames_are_a_hundred_a_second_rounded(num_samples):
    feats = make_extractor().extract(speech_like(1.0, 0)[:num_samples], sampling_rate=RATE)
    assert feats.shape == ((num_samples + 80) // 160, NUM_MEL_BINS)


def test_silence_gives_the_log_of_float32_epsilon():
    feats = make_extractor().extract(np.zeros(RATE, np.float32), sampling_rate=RATE)
    np.testing.assert_allclose(feats, np.log(np.finfo(np.float32).eps), atol=1e-4)


def test_there_is_no_dither():
    samples = speech_like(0.5, 1)
    extractor = make_extractor()
    first = extractor.extract(samples.copy(), sampling_rate=RATE)
    second = extractor.extract(samples.copy(), sampling_rate=RATE)
    np.testing.assert_array_equal(first, second)


def test_unknown_backend():
    with pytest.raises(RecipeError, match="unknown feature backend 'sox'; known are kaldifeat"):
        make_extractor(backend="sox")


def test_absent_kaldifeat_is_told(monkeypatch):
    monkeypatch.setattr("emformer.data.features.has_kaldifeat", lambda: False)
    with pytest.raises(RecipeError, match="kaldifeat is not installed"):
        make_extractor(backend="kaldifeat")
    assert make_extractor().name == "kaldi-fbank"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_absent_device_is_told():
    with pytest.raises(RecipeError, match="no CUDA device"):
        make_extractor(device="cuda:0")
