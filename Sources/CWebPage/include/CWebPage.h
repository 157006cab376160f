#ifndef CWEBPAGE_H
#define CWEBPAGE_H

#include <stddef.h>

/// One file of the page as it is in `web/`. `name` has no folder; `bytes` are not ended by a zero. Valid for ever.
typedef struct {
    const char *_Nonnull name;
    const unsigned char *_Nonnull bytes;
    size_t count;
} CWebPageFile;

/// The first of `CWebPageFileCount()` files.
const CWebPageFile *_Nonnull CWebPageFiles(void);
size_t CWebPageFileCount(void);

#endif
