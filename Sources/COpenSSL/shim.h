#ifndef SKEIN_COPENSSL_H
#define SKEIN_COPENSSL_H
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

// What OpenSSL has as macros, under names of ours: nothing else is here.
static inline long skein_ctx_set_min_version(SSL_CTX *context, int version) { return SSL_CTX_set_min_proto_version(context, version); }
static inline long skein_ctx_set_max_version(SSL_CTX *context, int version) { return SSL_CTX_set_max_proto_version(context, version); }
static inline long skein_ctx_set_mode(SSL_CTX *context, long mode) { return SSL_CTX_set_mode(context, mode); }
static inline long skein_ctx_set_read_ahead(SSL_CTX *context, int on) { return SSL_CTX_set_read_ahead(context, on); }
static inline long skein_ctx_set_max_cert_list(SSL_CTX *context, long bytes) { return SSL_CTX_set_max_cert_list(context, bytes); }
static inline int skein_ctx_set_groups(SSL_CTX *context, const char *list) { return (int)SSL_CTX_set1_groups_list(context, list); }
static inline int skein_ctx_set_signatures(SSL_CTX *context, const char *list) { return (int)SSL_CTX_set1_sigalgs_list(context, list); }
static inline long skein_ctx_set_session_cache_mode(SSL_CTX *context, long mode) { return SSL_CTX_set_session_cache_mode(context, mode); }
static inline int skein_ctx_set_chain(SSL_CTX *context, STACK_OF(X509) *chain) { return (int)SSL_CTX_set1_chain(context, chain); }
static inline int skein_ctx_set_chain_one(SSL_CTX *context, X509 *certificate) {
    return (int)SSL_CTX_add1_chain_cert(context, certificate);
}
static inline int skein_ctx_set_servername_callback(SSL_CTX *context, int (*callback)(SSL *, int *, void *)) {
    return (int)SSL_CTX_set_tlsext_servername_callback(context, callback);
}
static inline int skein_ctx_set_servername_argument(SSL_CTX *context, void *argument) {
    return (int)SSL_CTX_set_tlsext_servername_arg(context, argument);
}
static inline int skein_ctx_set_ticket_key_callback(
    SSL_CTX *context, int (*callback)(SSL *, unsigned char *, unsigned char *, EVP_CIPHER_CTX *, EVP_MAC_CTX *, int)) {
    return (int)SSL_CTX_set_tlsext_ticket_key_evp_cb(context, callback);
}
// The names and the digest are macros; the key is not kept.
static inline int skein_mac_set_sha256_key(EVP_MAC_CTX *mac, const unsigned char *key, size_t bytes) {
    const OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)key, bytes),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, parameters);
}
static inline int skein_set_host_name(SSL *session, const char *name) { return (int)SSL_set_tlsext_host_name(session, name); }
// RFC 2253, with UTF-8 as it is.
static inline int skein_print_name(BIO *bio, const X509_NAME *name) {
    return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
}
// RFC 2253, with bytes beyond ASCII escaped.
static inline int skein_print_escaped_name(BIO *bio, const X509_NAME *name) { return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253); }
static inline int skein_reason(unsigned long error) { return ERR_GET_REASON(error); }
static inline int skein_library(unsigned long error) { return ERR_GET_LIB(error); }
static inline int skein_name_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
static inline GENERAL_NAME *skein_name_at(const GENERAL_NAMES *names, int index) { return sk_GENERAL_NAME_value(names, index); }
static inline void skein_names_free(GENERAL_NAMES *names) { GENERAL_NAMES_free(names); }
static inline int skein_name_type(const GENERAL_NAME *name) { return name->type; }
static inline ASN1_STRING *skein_name_text(const GENERAL_NAME *name) { return name->type == GEN_IPADD ? name->d.iPAddress : name->d.ia5; }
static inline STACK_OF(X509) *skein_chain_new(void) { return sk_X509_new_null(); }
static inline int skein_chain_push(STACK_OF(X509) *chain, X509 *certificate) { return sk_X509_push(chain, certificate); }
static inline int skein_chain_count(const STACK_OF(X509) *chain) { return sk_X509_num(chain); }
static inline X509 *skein_chain_at(const STACK_OF(X509) *chain, int index) { return sk_X509_value(chain, index); }
static inline void skein_chain_free(STACK_OF(X509) *chain) { sk_X509_free(chain); }
static inline int skein_crls_count(const STACK_OF(X509_REVOKED) *revoked) { return sk_X509_REVOKED_num(revoked); }
static inline X509_REVOKED *skein_crls_at(const STACK_OF(X509_REVOKED) *revoked, int index) {
    return sk_X509_REVOKED_value(revoked, index);
}
static inline long skein_bio_memory(BIO *bio, char **bytes) { return BIO_get_mem_data(bio, bytes); }
static inline int skein_extensions_push(STACK_OF(X509_EXTENSION) **list, X509_EXTENSION *extension) {
    return X509v3_add_ext(list, extension, -1) != NULL;
}
static inline void skein_extensions_free(STACK_OF(X509_EXTENSION) *list) { sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free); }
static inline void skein_context_set_certificates(X509V3_CTX *context, X509 *issuer, X509 *subject, X509_REQ *request) {
    X509V3_set_ctx(context, issuer, subject, request, NULL, 0);
    X509V3_set_ctx_nodb(context);
}
static inline void skein_openssl_free(void *bytes) { OPENSSL_free(bytes); }
static inline EVP_PKEY *skein_generate_ec(const char *curve) { return EVP_EC_gen(curve); }
// Variadic.
static inline EVP_PKEY *skein_generate_plain(const char *type) { return EVP_PKEY_Q_keygen(NULL, NULL, type); }
static inline EVP_PKEY *skein_generate_rsa(unsigned int bits) { return EVP_RSA_gen(bits); }
// The selection is a macro made of macros.
static inline int skein_public_key_from(EVP_PKEY_CTX *context, EVP_PKEY **key, OSSL_PARAM *parameters) {
    return EVP_PKEY_fromdata_init(context) == 1 && EVP_PKEY_fromdata(context, key, EVP_PKEY_PUBLIC_KEY, parameters) == 1;
}
#endif
