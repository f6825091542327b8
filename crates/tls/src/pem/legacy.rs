//! Decryption of private keys in the legacy PEM encryption (RFC 1421, section 4.6) of OpenSSL.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockCipher, BlockDecryptMut, KeyInit, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use des::TdesEde3;
use md5::{Digest, Md5};
use pem::Pem;
use pkcs8::SecretDocument;
use zeroize::Zeroizing;

use super::{Passphrase, WRONG_PASSPHRASE};

/// The number of bytes of the initialization vector that are used as the salt.
const SALT: usize = 8;

/// Returns the decrypted key, or the cause of the failure.
pub(super) fn decrypt(pem: &Pem, passphrase: &Passphrase) -> Result<Vec<u8>, String> {
    let info = pem
        .headers()
        .get("DEK-Info")
        .ok_or("it is encrypted, but has no `DEK-Info:` header")?;
    let (cipher, vector) = info.split_once(',').unwrap_or((info, ""));
    let vector = hex(vector.trim())
        .ok_or("it is encrypted, but its `DEK-Info:` has no initialization vector")?;
    let text = pem.contents();
    let plain = match cipher.trim() {
        "AES-128-CBC" => cbc::<Aes128>(16, &vector, text, passphrase),
        "AES-192-CBC" => cbc::<Aes192>(24, &vector, text, passphrase),
        "AES-256-CBC" => cbc::<Aes256>(32, &vector, text, passphrase),
        "DES-EDE3-CBC" => cbc::<TdesEde3>(24, &vector, text, passphrase),
        other => {
            return Err(format!(
                "it is encrypted with {other}, which is not supported: \
                 `openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out OTHER` re-encrypts it"
            ));
        }
    };
    // One in 256 wrong passphrases produces valid padding.
    match SecretDocument::try_from(plain?) {
        Ok(key) => Ok(key.as_bytes().to_vec()),
        Err(_) => Err(WRONG_PASSPHRASE.to_owned()),
    }
}

fn cbc<C>(
    key_length: usize,
    vector: &[u8],
    text: &[u8],
    passphrase: &Passphrase,
) -> Result<Vec<u8>, String>
where
    C: BlockCipher + BlockDecryptMut + KeyInit,
{
    let salt = vector.get(..SALT).unwrap_or_default();
    let key = derive(passphrase, salt, key_length);
    let decryptor = cbc::Decryptor::<C>::new_from_slices(&key, vector)
        .map_err(|_| "the initialization vector in its `DEK-Info:` has the wrong length")?;
    decryptor
        .decrypt_padded_vec_mut::<Pkcs7>(text)
        .map_err(|_| WRONG_PASSPHRASE.to_owned())
}

/// Derives the key with OpenSSL's EVP_BytesToKey, with MD5 and one round.
fn derive(passphrase: &Passphrase, salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + Md5::output_size()));
    let mut digest = Vec::new();
    while key.len() < length {
        let mut hash = Md5::new();
        hash.update(&digest);
        hash.update(passphrase.as_bytes());
        hash.update(salt);
        digest = hash.finalize().to_vec();
        key.extend_from_slice(&digest);
    }
    key.truncate(length);
    key
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
        .collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    (rest.is_empty() && !pairs.is_empty())
        .then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
