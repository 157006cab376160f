#ifndef COTLP_H
#define COTLP_H
#include "otlp.pb-c.h"
#endif
