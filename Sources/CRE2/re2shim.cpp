#include "CRE2.h"
#include <cstring>
#include <re2/re2.h>
#include <string>
#include <vector>

struct skein_re2 {
    re2::RE2 regex;
    skein_re2(re2::StringPiece pattern, const re2::RE2::Options &options) : regex(pattern, options) {}
};

static re2::RE2::Options optionsWith(long max_memory) {
    re2::RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(max_memory);
    options.set_encoding(re2::RE2::Options::EncodingLatin1);
    return options;
}

skein_re2 *skein_re2_new(const char *pattern, size_t count, long max_memory) {
    return new skein_re2(re2::StringPiece(pattern, count), optionsWith(max_memory));
}
skein_re2 *skein_re2_new_utf8(const char *pattern, size_t count, long max_memory) {
    re2::RE2::Options options = optionsWith(max_memory);
    options.set_encoding(re2::RE2::Options::EncodingUTF8);
    return new skein_re2(re2::StringPiece(pattern, count), options);
}
int skein_re2_error_code(const skein_re2 *regex) { return static_cast<int>(regex->regex.error_code()); }
const char *skein_re2_error_argument(const skein_re2 *regex) { return regex->regex.error_arg().c_str(); }
int skein_re2_groups(const skein_re2 *regex) { return regex->regex.NumberOfCapturingGroups(); }
int skein_re2_group_named(const skein_re2 *regex, const char *name, size_t count) {
    const auto &groups = regex->regex.NamedCapturingGroups();
    const auto found = groups.find(std::string(name, count));
    return found == groups.end() ? -1 : found->second;
}
bool skein_re2_match_groups(const skein_re2 *regex, const char *text, size_t count, long *starts, long *lengths, int room) {
    std::vector<re2::StringPiece> parts(room);
    if (!regex->regex.Match(re2::StringPiece(text, count), 0, count, re2::RE2::ANCHOR_BOTH, parts.data(), room)) return false;
    for (int i = 0; i < room; i++) {
        starts[i] = parts[i].data() == nullptr ? -1 : parts[i].data() - text;
        lengths[i] = static_cast<long>(parts[i].size());
    }
    return true;
}
const char *skein_re2_error(const skein_re2 *regex) {
    return regex->regex.ok() ? nullptr : regex->regex.error().c_str();
}
bool skein_re2_full_match(const skein_re2 *regex, const char *text, size_t count) {
    return re2::RE2::FullMatch(re2::StringPiece(text, count), regex->regex);
}
long skein_re2_replace(const skein_re2 *regex, const char *text, size_t count, const char *rewrite, size_t rewrite_count, char *out, size_t room) {
    std::string result(text, count);
    re2::RE2::GlobalReplace(&result, regex->regex, re2::StringPiece(rewrite, rewrite_count));
    if (result.size() > room) return -1;
    std::memcpy(out, result.data(), result.size());
    return static_cast<long>(result.size());
}
bool skein_re2_check_rewrite(const skein_re2 *regex, const char *rewrite, size_t count) {
    std::string error;
    return regex->regex.CheckRewriteString(re2::StringPiece(rewrite, count), &error);
}
const char *skein_re2_pattern(const skein_re2 *regex) { return regex->regex.pattern().c_str(); }
void skein_re2_free(skein_re2 *regex) { delete regex; }
