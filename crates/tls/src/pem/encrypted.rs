//! Decryption of encrypted PKCS#8 private keys (RFC 5958), with a password as in PKCS#5 (RFC 8018).

use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::Decode;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
#[cfg(not(feature = "legacy-keys"))]
use pkcs8::pkcs5::pbes2::Pbkdf2Prf;

use super::{Passphrase, WRONG_PASSPHRASE};

/// The maximum number of PBKDF2 iterations.
const MAX_ITERATIONS: u32 = 2_000_000;

/// The maximum memory of scrypt in bytes, for each pass (RFC 7914, section 2: 128 · N · r) and in total for all passes.
const MAX_SCRYPT: u64 = 128 * 1024 * 1024;

/// The object identifier of 3DES in DER (RFC 8018, appendix C).
#[cfg(not(feature = "legacy-keys"))]
const DES_EDE3_CBC: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 7];

/// Returns the key as unencrypted PKCS#8, or the cause of the failure.
pub(super) fn decrypt(der: &[u8], passphrase: &Passphrase) -> Result<Vec<u8>, String> {
    #[cfg(not(feature = "legacy-keys"))]
    if super::find(der, DES_EDE3_CBC).is_some() {
        return Err(super::without_legacy_keys("it is encrypted with 3DES"));
    }
    let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|error| {
        format!(
            "its encryption is not supported ({error}): \
             `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER` re-encrypts it"
        )
    })?;
    check_cost(&info.encryption_algorithm)?;
    match info.decrypt(passphrase.as_bytes()) {
        Ok(key) => Ok(key.as_bytes().to_vec()),
        Err(_) => Err(WRONG_PASSPHRASE.to_owned()),
    }
}

/// Returns an error if the key derivation would take so long that the server hangs.
fn check_cost(scheme: &EncryptionScheme<'_>) -> Result<(), String> {
    let Some(parameters) = scheme.pbes2() else {
        return Err("it is encrypted with PBES1, which is not supported: \
             `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER` re-encrypts it"
            .to_owned());
    };
    match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) if pbkdf2.iteration_count > MAX_ITERATIONS => Err(format!(
            "its passphrase is hashed {} times, more than the limit of {MAX_ITERATIONS}",
            pbkdf2.iteration_count
        )),
        #[cfg(not(feature = "legacy-keys"))]
        Kdf::Pbkdf2(pbkdf2) if pbkdf2.prf == Pbkdf2Prf::HmacWithSha1 => Err(
            super::without_legacy_keys("its passphrase is hashed with SHA-1"),
        ),
        Kdf::Scrypt(scrypt) => {
            let cost = 128_u64
                .saturating_mul(scrypt.cost_parameter)
                .saturating_mul(u64::from(scrypt.block_size))
                .saturating_mul(u64::from(scrypt.parallelization));
            match cost > MAX_SCRYPT {
                true => Err(format!(
                    "scrypt requires {cost} bytes for its passphrase (128 · N · r · p), more than the limit of {MAX_SCRYPT}"
                )),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use pkcs8::der::Encode;
    use pkcs8::pkcs5::pbes2::Parameters;
    use pkcs8::pkcs5::scrypt::Params;

    use super::*;

    /// Returns the error of decrypting with the parameters.
    fn refused(parameters: Parameters<'_>) -> String {
        let info = EncryptedPrivateKeyInfo {
            encryption_algorithm: parameters.into(),
            encrypted_data: &[0; 32],
        };
        decrypt(&info.to_der().unwrap(), &Passphrase::new("secret")).unwrap_err()
    }

    #[test]
    fn expensive_parameters_are_refused_before_the_key_derivation() {
        let too_many = Parameters::pbkdf2_sha256_aes256cbc(MAX_ITERATIONS + 1, &[1; 8], &[2; 16]);
        assert_eq!(
            refused(too_many.unwrap()),
            "its passphrase is hashed 2000001 times, more than the limit of 2000000"
        );
        for (log_n, r, p) in [(18, 8, 1), (17, 8, 2), (15, 32, 2)] {
            let params = Params::new(log_n, r, p, 32).unwrap();
            let too_much = Parameters::scrypt_aes256cbc(params, &[1; 8], &[2; 16]);
            assert_eq!(
                refused(too_much.unwrap()),
                "scrypt requires 268435456 bytes for its passphrase (128 · N · r · p), more than the limit of 134217728"
            );
        }
    }

    #[test]
    fn cheap_parameters_are_accepted() {
        let few = Parameters::pbkdf2_sha256_aes256cbc(1, &[1; 8], &[2; 16]);
        let params = Params::new(4, 1, 1, 32).unwrap();
        let little = Parameters::scrypt_aes256cbc(params, &[1; 8], &[2; 16]);
        for parameters in [few, little] {
            assert_eq!(refused(parameters.unwrap()), WRONG_PASSPHRASE);
        }
    }

    #[test]
    fn malformed_data_is_an_error() {
        let error = decrypt(&[0x30, 0], &Passphrase::new("secret")).unwrap_err();
        assert!(
            error.starts_with("its encryption is not supported ("),
            "{error}"
        );
    }
}
