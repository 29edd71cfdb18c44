//! Whether a request was signed with our secret: HMAC-SHA256 over its raw bytes.

use hmac::{Hmac, Mac, digest::InvalidLength};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use warp::http::HeaderValue;

/// The header that carries `sha256=` and 64 hexadecimal digits.
pub const HEADER: &str = "x-hub-signature-256";

/// Why a request is not believed to come from the forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the header X-Hub-Signature-256 is missing; set the same secret in the webhook's settings")]
    Missing,
    #[error("the header X-Hub-Signature-256 is not sha256= and 64 hexadecimal digits")]
    Malformed,
    #[error("the signature does not match; set the same secret in the webhook's settings")]
    Wrong,
}

/// A secret that is ready to check signatures.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    pub fn new(secret: &SecretString) -> Result<Self, InvalidLength> {
        Hmac::new_from_slice(secret.expose_secret().as_bytes()).map(Self)
    }

    /// A check that takes the body as it arrives, so that a large one never holds up other requests.
    pub fn check(&self) -> SignatureCheck {
        SignatureCheck(self.0.clone())
    }
}

/// The check of one request.
pub struct SignatureCheck(Hmac<Sha256>);

impl SignatureCheck {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Compares with what the header claims, in a time that does not depend on where the two differ.
    pub fn verify(self, header: Option<&HeaderValue>) -> Result<(), SignatureError> {
        let claimed = header.ok_or(SignatureError::Missing)?.as_bytes();
        let digits = claimed.strip_prefix(b"sha256=").ok_or(SignatureError::Malformed)?;
        let mut claimed = [0_u8; 32];
        hex::decode_to_slice(digits, &mut claimed).map_err(|_| SignatureError::Malformed)?;
        self.0.verify_slice(&claimed).map_err(|_| SignatureError::Wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From GitHub's documentation, "Validating webhook deliveries".
    const SECRET: &str = "It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const DIGEST: &str = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn verify(body: &[u8], header: Option<&str>) -> Result<(), SignatureError> {
        let key = SigningKey::new(&SecretString::from(SECRET)).unwrap();
        let mut check = key.check();
        for piece in body.chunks(5) {
            check.update(piece);
        }
        check.verify(header.map(|text| HeaderValue::from_str(text).unwrap()).as_ref())
    }

    #[test]
    fn the_test_vector_of_the_documentation_is_accepted() {
        assert_eq!(verify(BODY, Some(&format!("sha256={DIGEST}"))), Ok(()));
    }

    #[test]
    fn every_single_changed_digit_or_byte_is_refused() {
        for i in 0..DIGEST.len() {
            let mut changed = DIGEST.to_owned();
            let other = if changed.as_bytes()[i] == b'0' { "1" } else { "0" };
            changed.replace_range(i..=i, other);
            assert_eq!(verify(BODY, Some(&format!("sha256={changed}"))), Err(SignatureError::Wrong));
        }
        assert_eq!(verify(b"Hello, World?", Some(&format!("sha256={DIGEST}"))), Err(SignatureError::Wrong));
    }

    #[test]
    fn what_is_no_signature_is_told_apart() {
        assert_eq!(verify(BODY, None), Err(SignatureError::Missing));
        for bad in ["", "sha256=", DIGEST, "sha1=757107ea", &format!("sha256={DIGEST}00"), "sha256=zz"] {
            assert_eq!(verify(BODY, Some(bad)), Err(SignatureError::Malformed), "{bad}");
        }
    }
}
