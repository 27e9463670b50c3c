/* SPDX-License-Identifier: Apache-2.0
 *
 * omni_runtime: streaming speech recognition with a packed file, on the CPU, without Python.
 *
 * A packed file (python3 -m omni_emformer.runtime.pack) holds one model with its levels: sub-networks of different
 * sparsity, which share their weights or have their own. A stream is sound that is coming: give it samples, read its text. README.md has
 * an example.
 *
 * Threads: a model may be used by any number of threads, a stream by one at a time.
 * Errors: functions that can fail return false or NULL and write one line to *error, which may be NULL. A stream whose
 * omni_stream_accept or omni_stream_finish failed must be reset before it is used again.
 */
#ifndef OMNI_RUNTIME_H
#define OMNI_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define OMNI_API __attribute__((visibility("default")))

/* Samples a second of all sound. */
#define OMNI_SAMPLE_RATE 16000

/* What went wrong: one line, which ends with 0. */
typedef struct {
  char text[400];
} omni_error;

typedef struct omni_model omni_model;
typedef struct omni_stream omni_stream;

/* ---- A model ---- */

/* Open a packed file. What is read of it is checked: a file that is truncated, altered, of another version or made to
   do harm is refused. The file must not be changed as long as the model is open: replace it by renaming another one. */
OMNI_API omni_model *omni_model_open(const char *path, omni_error *error);

/* The same of a packed file in memory, such as a part of the program; data must begin at a multiple of 64 bytes, and
   stay there until the model is closed. */
OMNI_API omni_model *omni_model_open_memory(const void *data, size_t size, omni_error *error);

/* After its streams. NULL is allowed. */
OMNI_API void omni_model_close(omni_model *model);

/* Levels, numbered from 0 in the order of the file. */
OMNI_API int omni_model_num_levels(const omni_model *model);

/* A level's name, such as "dense", "0.50" or "front/3". */
OMNI_API const char *omni_model_level_name(const omni_model *model, int level);

/* Share of zeros among the weights of the encoder's layers, as the file tells it. */
OMNI_API double omni_model_level_sparsity(const omni_model *model, int level);

/* Blocks of 8 x 1 weights that a level keeps, and their bytes in memory with the number of each one's column. What a level
   computes grows with them. -1 if there is no such level. */
OMNI_API int64_t omni_model_level_blocks(const omni_model *model, int level);
OMNI_API int64_t omni_model_level_bytes(const omni_model *model, int level);

/* The level of a name, or of a number that is a name's to two decimals ("0.5" is "0.50", "0" is "dense"); -1 if there is
   none. */
OMNI_API int omni_model_find_level(const omni_model *model, const char *name);

/* Symbols that the model writes, and one of them; "" if there is no such symbol. */
OMNI_API int omni_model_num_tokens(const omni_model *model);
OMNI_API const char *omni_model_token(const omni_model *model, int token);

/* Seconds of an encoder frame, which time stamps count. */
OMNI_API double omni_model_frame_seconds(const omni_model *model);

/* Samples of a chunk (text comes in steps of it), and how many more must be there before it is run. */
OMNI_API int omni_model_chunk_samples(const omni_model *model);
OMNI_API int omni_model_lookahead_samples(const omni_model *model);

/* Name of the instruction set that is used: the best of this machine, unless the environment's OMNI_INSTRUCTIONS names
   a lesser one. "plain", "avx2", "avx512", "vnni"; of ARM "plain", "dot" or "neon"; of WebAssembly "plain" or "simd128". */
OMNI_API const char *omni_instructions(void);

/* ---- A stream ---- */

/* A new stream at a level, with greedy search. The level's weights are read the first time that it is used. */
OMNI_API omni_stream *omni_stream_open(omni_model *model, int level, omni_error *error);

/* Hypotheses of modified beam search, as the recipe has them by default. */
#define OMNI_BEAM_SIZE 4

/* The same with modified beam search, the recipe's modified_beam_search: up to beam_size hypotheses, from 1 (which is
   greedy search) to 64. */
OMNI_API omni_stream *omni_stream_open_beam(omni_model *model, int level, int beam_size, omni_error *error);

/* NULL is allowed. */
OMNI_API void omni_stream_close(omni_stream *stream);

/* Begin anew, as after it was opened; level and endpoint rules stay. */
OMNI_API void omni_stream_reset(omni_stream *stream);

/* Another level from the next chunk on. What the encoder remembers is kept, as any level can attend to it. */
OMNI_API bool omni_stream_set_level(omni_stream *stream, int level, omni_error *error);

/* The number of the level that the next chunk is run at. */
OMNI_API int omni_stream_level(const omni_stream *stream);

/* Take samples in [-1, 1] at OMNI_SAMPLE_RATE, any number of them, and run the chunks that they complete. */
OMNI_API bool omni_stream_accept(omni_stream *stream, const float *samples, size_t num_samples, omni_error *error);

/* The sound has ended: run the chunks that are left, with silence after the end. */
OMNI_API bool omni_stream_finish(omni_stream *stream, omni_error *error);

/* Samples that the stream was given since it was opened or reset. */
OMNI_API int64_t omni_stream_num_samples(const omni_stream *stream);

/* What was recognised so far, or since the last call of omni_stream_next_utterance: symbols without blanks, and the
   encoder frame of each, counted from the stream's beginning. Greedy search only ever adds to it; of a beam it is what
   the best hypothesis says now. Pointers hold until the stream's next call of accept, finish, next_utterance, reset or
   close. */
OMNI_API size_t omni_stream_num_tokens(const omni_stream *stream);
OMNI_API const int32_t *omni_stream_tokens(const omni_stream *stream);
OMNI_API const int64_t *omni_stream_frames(const omni_stream *stream);

/* Its words, a space between two, UTF-8. */
OMNI_API const char *omni_stream_text(const omni_stream *stream);

typedef struct {
  size_t begin, end;               /* bytes of the text */
  int64_t first_frame, last_frame; /* encoder frames of its first and last symbol */
} omni_word;

/* The words one by one. In seconds a word begins at first_frame * omni_model_frame_seconds, and ends a frame after
   last_frame. Frames may lie in the silence that omni_stream_finish adds, and so after the sound's end. */
OMNI_API size_t omni_stream_num_words(const omni_stream *stream);
OMNI_API const omni_word *omni_stream_words(const omni_stream *stream);

/* ---- Utterances of a stream ----

   Without endpoint rules a stream is one utterance: its text, and the memory for it, grow as long as it runs. With
   them, ask omni_stream_endpoint after each call of omni_stream_accept, omni_stream_finish and
   omni_stream_next_utterance; memory is then that of the longest utterance, however long the stream is:

     omni_stream_accept(stream, samples, number, &error);
     while (omni_stream_endpoint(stream)) {
       puts(omni_stream_text(stream));
       omni_stream_next_utterance(stream, &error);
     }

   After omni_stream_finish and this loop, the text is that of the utterance which the sound's end cut off. */

/* When an utterance ends by itself, in seconds above 0; names and defaults are sherpa-onnx's, and so is their meaning.
   Silence is where the search takes blank: nothing is measured in the sound. */
typedef struct {
  double rule1_min_trailing_silence; /* ends an utterance whether or not anything was decoded */
  double rule2_min_trailing_silence; /* ends one of which something was decoded */
  double rule3_min_utterance_length; /* ends one that is so long, in the middle of a word if need be */
} omni_endpoint_rules;
#define OMNI_ENDPOINT_RULES {2.4, 1.2, 20.0}

/* Look for endpoints by these rules from the next chunk on; NULL for no longer, as at first. */
OMNI_API bool omni_stream_set_rules(omni_stream *stream, const omni_endpoint_rules *rules, omni_error *error);

/* The number of the rule that has ended the utterance, 1 to 3; 0 while it goes on. Then the text is complete (and may be
   empty: rule 1 ends silence, too), what follows in the samples waits, and accept and finish are refused, with the
   stream as it was, until omni_stream_next_utterance is called. */
OMNI_API int omni_stream_endpoint(const omni_stream *stream);

/* Begin the next utterance: forget tokens and text of this one, and run the samples that wait, up to the next endpoint.
   After a silence (rules 1 and 2) the encoder starts anew, too, as at a stream's beginning; after rule 3 it goes on.
   Frames go on counting. May also be called where there is no endpoint, to end an utterance by a rule of one's own. */
OMNI_API bool omni_stream_next_utterance(omni_stream *stream, omni_error *error);

/* ---- Saving a stream ---- */

/* Bytes that omni_stream_save needs now. They change with each call that changes the stream. */
OMNI_API size_t omni_stream_state_size(const omni_stream *stream);

/* Write all that a stream remembers to memory of the caller, of omni_stream_state_size bytes at least. Of the waiting
   samples of an endpoint nothing is saved: it is refused until omni_stream_next_utterance was called. */
OMNI_API bool omni_stream_save(const omni_stream *stream, void *state, size_t size, omni_error *error);

/* A new stream that goes on where the saved one was: level, search, endpoint rules and all, but no watcher. In another
   process and on another machine, too; with the same instruction set, its output is the same to the last bit. The model
   must be of the same file. State of another model or version, and bytes that were altered, are refused; what was made
   to do harm can change what is heard, and no more. The bytes are read during the call only. */
OMNI_API omni_stream *omni_stream_restore(omni_model *model, const void *state, size_t size, omni_error *error);

/* ---- Sound files ---- (not in WebAssembly, which has no files) */

typedef struct omni_sound omni_sound;

/* Open a wav file at OMNI_SAMPLE_RATE, 16-bit PCM or 32-bit floating point. "-" is standard input: a wav file, or 16-bit
   little-endian PCM of one channel. Errors do not name the file. */
OMNI_API omni_sound *omni_sound_open(const char *path, omni_error *error);

/* Up to `most` samples in [-1, 1], the mean over channels; how many, 0 at the end, -1 if it cannot be read. An incomplete
   last one is left out. */
OMNI_API int64_t omni_sound_read(omni_sound *sound, float *samples, size_t most, omni_error *error);

/* NULL is allowed. */
OMNI_API void omni_sound_close(omni_sound *sound);

/* ---- Looking into a stream ---- */

/* What a chunk was made of. */
typedef struct {
  const float *features; /* log-mel, [num_features][feature_dim], of the chunk and its look-ahead */
  int num_features, feature_dim;
  const float *encoder; /* output of the encoder, [num_frames][encoder_dim] */
  int num_frames, encoder_dim;
} omni_chunk;

/* Have a function called after each chunk; NULL for none. For comparisons and for searches of one's own. */
OMNI_API void omni_stream_watch(omni_stream *stream, void (*watcher)(void *user, const omni_chunk *chunk), void *user);

#ifdef __cplusplus
}
#endif

#endif
