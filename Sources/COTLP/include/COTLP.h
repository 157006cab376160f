#ifndef COTLP_H
#define COTLP_H
#endif
