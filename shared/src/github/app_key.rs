//! An app's private key, and what it signs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use rustls::{
    SignatureScheme,
    crypto::ring::sign::any_supported_type,
    pki_types::{PrivateKeyDer, pem::PemObject},
    sign::Signer,
};
use secrecy::SecretString;
use serde_json::json;

/// How long what is signed is good for; GitHub takes ten minutes at most.
const LIFE: Duration = Duration::from_secs(9 * 60);

/// How far this machine's clock may be ahead of GitHub's.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(60);

/// Signs for one app.
pub(super) struct AppKey {
    app: String,
    signer: Box<dyn Signer>,
}

impl AppKey {
    /// `pem`: as GitHub lets it be downloaded, or in PKCS#8.
    pub(super) fn read(app: &str, pem: &str) -> Result<Self, String> {
        if pem.trim().is_empty() {
            return Err("is empty: an app signs with its private key; set github.app_key_file".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("is no private key in PEM ({error})"))?;
        let key = any_supported_type(&key).map_err(|error| format!("cannot be used ({error})"))?;
        let signer = key.choose_scheme(&[SignatureScheme::RSA_PKCS1_SHA256]);
        let signer = signer.ok_or_else(|| "is no RSA key, which GitHub's apps have".to_owned())?;
        Ok(Self { app: app.to_owned(), signer })
    }

    /// A JSON Web Token (RS256) that says who we are, for a few minutes from `now`.
    pub(super) fn sign(&self, now: SystemTime) -> SecretString {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (from, until) = (since.saturating_sub(CLOCK_AHEAD_MAX), since + LIFE);
        let header = json!({ "alg": "RS256", "typ": "JWT" });
        let claims = json!({ "iss": self.app, "iat": from.as_secs(), "exp": until.as_secs() });
        let part = |value: &serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        // Signing needs random numbers, which the system does not run out of; GitHub would refuse the empty one.
        let signature = self.signer.sign(signed.as_bytes()).unwrap_or_default();
        SecretString::from(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }
}
