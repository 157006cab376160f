#ifndef SKEIN_CRE2_H
#define SKEIN_CRE2_H
#include <stddef.h>
#include <stdbool.h>
#ifdef __cplusplus
extern "C" {
#endif
// RE2 is C++; these functions are its C face. No logic lives here.
typedef struct skein_re2 skein_re2;
/// Compiles `pattern`. Never null; ask skein_re2_error whether it compiled. `max_memory` bounds the program and its DFA, in bytes.
skein_re2 *skein_re2_new(const char *pattern, size_t count, long max_memory);
/// The same for patterns and texts in UTF-8, where `.` is a character and not a byte.
skein_re2 *skein_re2_new_utf8(const char *pattern, size_t count, long max_memory);
/// Null when the pattern compiled, else why not (owned by the regex).
const char *skein_re2_error(const skein_re2 *regex);
/// re2::RE2::ErrorCode as a number; 0 = it compiled.
int skein_re2_error_code(const skein_re2 *regex);
/// The part of the pattern that the error is about (owned by the regex).
const char *skein_re2_error_argument(const skein_re2 *regex);
/// Groups in parentheses.
int skein_re2_groups(const skein_re2 *regex);
/// The number of the group of this name, or -1.
int skein_re2_group_named(const skein_re2 *regex, const char *name, size_t count);
/// Whether the whole of `text` matches; then `starts` and `lengths` have the matched text and the groups behind it, `room` of them at most.
/// A group that took no part has start -1.
bool skein_re2_match_groups(const skein_re2 *regex, const char *text, size_t count, long *starts, long *lengths, int room);
/// Whether the whole of `text` matches.
bool skein_re2_full_match(const skein_re2 *regex, const char *text, size_t count);
/// Replaces every match in `text` by `rewrite` (`\\1` = first group) into `out`; the length, or -1 when it does not fit.
long skein_re2_replace(const skein_re2 *regex, const char *text, size_t count, const char *rewrite, size_t rewrite_count, char *out, size_t room);
/// Whether `rewrite` fits the regex's groups.
bool skein_re2_check_rewrite(const skein_re2 *regex, const char *rewrite, size_t count);
/// The pattern, zero-terminated; owned by the regex.
const char *skein_re2_pattern(const skein_re2 *regex);
void skein_re2_free(skein_re2 *regex);
#ifdef __cplusplus
}
#endif
#endif
