//! Private keys that are encrypted as PKCS#8 (RFC 5958), with a password as in PKCS#5 (RFC 8018).

use pkcs8::EncryptedPrivateKeyInfo;
use pkcs8::der::Decode;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
#[cfg(not(feature = "legacy-keys"))]
use pkcs8::pkcs5::pbes2::Pbkdf2Prf;

use super::{Passphrase, WRONG};

/// The most iterations of PBKDF2 that are computed.
const MAX_ITERATIONS: u32 = 2_000_000;

/// The most memory that scrypt may take for each of its passes, in bytes (RFC 7914, section 2: 128 · N · r), and the most
/// in all passes together.
const MAX_SCRYPT: u64 = 128 * 1024 * 1024;

/// The object identifier of 3DES in DER (RFC 8018, appendix C).
#[cfg(not(feature = "legacy-keys"))]
const DES_EDE3_CBC: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 3, 7];

/// The key as unencrypted PKCS#8; the error is the reason why there is none.
pub(super) fn decrypt(der: &[u8], passphrase: &Passphrase) -> Result<Vec<u8>, String> {
    #[cfg(not(feature = "legacy-keys"))]
    if super::find(der, DES_EDE3_CBC).is_some() {
        return Err(super::without_legacy_keys("it is encrypted with 3DES"));
    }
    let info = EncryptedPrivateKeyInfo::from_der(der).map_err(|error| {
        format!(
            "it is encrypted in a way that is not supported ({error}): \
             `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER` encrypts it anew"
        )
    })?;
    check_cost(&info.encryption_algorithm)?;
    match info.decrypt(passphrase.as_bytes()) {
        Ok(key) => Ok(key.as_bytes().to_vec()),
        Err(_) => Err(WRONG.to_owned()),
    }
}

/// Refuses what would take so long that a server hangs, on purpose or not.
fn check_cost(scheme: &EncryptionScheme<'_>) -> Result<(), String> {
    let Some(parameters) = scheme.pbes2() else {
        return Err("it is encrypted with PBES1, which is not supported: \
             `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER` encrypts it anew"
            .to_owned());
    };
    match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) if pbkdf2.iteration_count > MAX_ITERATIONS => Err(format!(
            "its passphrase is hashed {} times, and at most {MAX_ITERATIONS} are done",
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
                    "scrypt takes {cost} bytes for its passphrase (128 · N · r · p), and at most {MAX_SCRYPT} are given"
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

    /// Why something that is encrypted in a way cannot be decrypted.
    fn refused(parameters: Parameters<'_>) -> String {
        let info = EncryptedPrivateKeyInfo {
            encryption_algorithm: parameters.into(),
            encrypted_data: &[0; 32],
        };
        decrypt(&info.to_der().unwrap(), &Passphrase::new("secret")).unwrap_err()
    }

    #[test]
    fn what_would_take_too_long_is_refused_before_it_is_begun() {
        let too_many = Parameters::pbkdf2_sha256_aes256cbc(MAX_ITERATIONS + 1, &[1; 8], &[2; 16]);
        assert_eq!(
            refused(too_many.unwrap()),
            "its passphrase is hashed 2000001 times, and at most 2000000 are done"
        );
        for (log_n, r, p) in [(18, 8, 1), (17, 8, 2), (15, 32, 2)] {
            let params = Params::new(log_n, r, p, 32).unwrap();
            let too_much = Parameters::scrypt_aes256cbc(params, &[1; 8], &[2; 16]);
            assert_eq!(
                refused(too_much.unwrap()),
                "scrypt takes 268435456 bytes for its passphrase (128 · N · r · p), and at most 134217728 are given"
            );
        }
    }

    #[test]
    fn what_costs_little_is_tried() {
        let few = Parameters::pbkdf2_sha256_aes256cbc(1, &[1; 8], &[2; 16]);
        let params = Params::new(4, 1, 1, 32).unwrap();
        let little = Parameters::scrypt_aes256cbc(params, &[1; 8], &[2; 16]);
        for parameters in [few, little] {
            assert_eq!(refused(parameters.unwrap()), WRONG);
        }
    }

    #[test]
    fn what_is_no_encrypted_key_is_an_error() {
        let error = decrypt(&[0x30, 0], &Passphrase::new("secret")).unwrap_err();
        assert!(
            error.starts_with("it is encrypted in a way that is not supported ("),
            "{error}"
        );
    }
}
