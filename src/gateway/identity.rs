//! The server's own certificate and its key: two files of the data folder that
//! are replaced as one, and what listeners speak TLS with. Made when it is first
//! needed, and kept, since clients pin it.
//!
//! ```text
//!   both .new written ──▶ certificate renamed ──▶ key renamed
//!   a crash: discarded          finished at the next opening
//! ```
//!
//! Must never let a key out: not into a record, the log, or an answer.

use crate::command::host::x509;
use crate::error::{ApiError, codes};
use crate::value::format_time;
use crate::world::World;
use anyhow::Context;
use arc_swap::ArcSwapOption;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

const CERTIFICATE: &str = "tls-certificate.pem";
const KEY: &str = "tls-key.pem";
/// The certificate is for everybody, the key for nobody else.
const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;

/// See the module.
pub struct Identity {
    folder: PathBuf,
    world: World,
    current: ArcSwapOption<ServerConfig>,
    /// Held while the files change.
    changing: Mutex<()>,
}

impl Identity {
    /// The identity in that folder; finishes or discards a replacement that a crash cut short.
    pub fn open(folder: &Path, world: &World) -> std::io::Result<Identity> {
        let (certificate, key) = (new_of(&folder.join(CERTIFICATE)), new_of(&folder.join(KEY)));
        match (certificate.exists(), key.exists()) {
            (false, true) => std::fs::rename(key, folder.join(KEY))?,
            (true, false) => std::fs::remove_file(certificate)?,
            (true, true) => {
                std::fs::remove_file(key)?;
                std::fs::remove_file(certificate)?;
            }
            (false, false) => {}
        }
        Ok(Identity::beside(folder, world))
    }

    /// The identity of a server that may be running: its files are only read, if they are there.
    pub fn beside(folder: &Path, world: &World) -> Identity {
        let (folder, world) = (folder.to_path_buf(), world.clone());
        Identity { folder, world, current: ArcSwapOption::empty(), changing: Mutex::new(()) }
    }

    /// What a listener speaks TLS with now.
    pub fn config(&self) -> anyhow::Result<Arc<ServerConfig>> {
        if let Some(config) = &*self.current.load() {
            return Ok(config.clone());
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.load()
    }

    /// The certificate, as PEM.
    pub fn certificate(&self) -> anyhow::Result<String> {
        self.config()?;
        let path = self.folder.join(CERTIFICATE);
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Whether there is one yet.
    pub fn is_there(&self) -> bool {
        self.folder.join(KEY).exists()
    }

    /// Takes another certificate, with its key and what signed it; answers it as it is stored.
    pub fn install(&self, certificate: &str, key: &str, chain: &str) -> Result<String, ApiError> {
        self.check(certificate, key, chain)?;
        let whole = match chain.trim() {
            "" => certificate.to_string(),
            chain => format!("{}\n{chain}\n", certificate.trim_end()),
        };
        self.replace(&whole, key)?;
        Ok(whole)
    }

    /// Makes a new certificate that signs itself.
    pub fn renew(&self) -> Result<String, ApiError> {
        let (certificate, key) = self.made().map_err(unwritten)?;
        self.replace(&certificate, &key)?;
        Ok(certificate)
    }

    fn check(&self, certificate: &str, key: &str, chain: &str) -> Result<(), ApiError> {
        let shown = x509::read(certificate).ok_or_else(codes::SERVER_CERTIFICATE_INVALID)?;
        let (now, text) = (self.world.now(), format_time(self.world.now()));
        if now < shown.not_before {
            return Err(codes::SERVER_CERTIFICATE_NOT_VALID_YET(text, format_time(shown.not_before)));
        }
        if now > shown.not_after {
            return Err(codes::SERVER_CERTIFICATE_EXPIRED(text, format_time(shown.not_after)));
        }
        let whole = |der: &Result<CertificateDer<'_>, _>| der.as_ref().is_ok_and(|der| x509::read_der(der).is_some());
        if !CertificateDer::pem_slice_iter(chain.as_bytes()).all(|der| whole(&der)) {
            return Err(codes::SERVER_CERTIFICATE_CHAIN_INVALID());
        }
        if chain.len() > x509::PEM_MAX || !chain.trim().is_empty() && !chain.contains("-----BEGIN CERTIFICATE-----") {
            return Err(codes::SERVER_CERTIFICATE_CHAIN_INVALID());
        }
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| codes::SERVER_CERTIFICATE_KEY_INVALID())?;
        let key = default_provider().key_provider.load_private_key(key);
        let key = key.map_err(|_| codes::SERVER_CERTIFICATE_KEY_INVALID())?;
        let own = CertificateDer::from_pem_slice(certificate.as_bytes());
        let own = own.map_err(|_| codes::SERVER_CERTIFICATE_INVALID())?;
        match CertifiedKey::new(vec![own], key).keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
            Err(rustls::Error::InconsistentKeys(_)) => Err(codes::SERVER_CERTIFICATE_KEY_MISMATCH()),
            Err(_) => Err(codes::SERVER_CERTIFICATE_INVALID()),
        }
    }

    /// Puts both files in the others' place; connections made from now on are made with them.
    fn replace(&self, certificate: &str, key: &str) -> Result<(), ApiError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.write(certificate, key).map_err(|error| unwritten(error.into()))?;
        self.current.store(None);
        self.load().map(drop).map_err(unwritten)
    }

    fn write(&self, certificate: &str, key: &str) -> std::io::Result<()> {
        let (certificate_path, key_path) = (self.folder.join(CERTIFICATE), self.folder.join(KEY));
        write_new(&certificate_path, certificate, PUBLIC)?;
        write_new(&key_path, key, PRIVATE)?;
        std::fs::rename(new_of(&certificate_path), certificate_path)?;
        std::fs::rename(new_of(&key_path), key_path)
    }

    fn load(&self) -> anyhow::Result<Arc<ServerConfig>> {
        if !self.is_there() {
            let (certificate, key) = self.made()?;
            self.write(&certificate, &key)?;
        }
        let certificates = CertificateDer::pem_file_iter(self.folder.join(CERTIFICATE))?;
        let certificates: Vec<CertificateDer<'static>> = certificates.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(self.folder.join(KEY))?;
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)?;
        let config = Arc::new(config);
        self.current.store(Some(config.clone()));
        Ok(config)
    }

    fn made(&self) -> anyhow::Result<(String, Zeroizing<String>)> {
        let names = ["localhost", "127.0.0.1", "::1", "xenledger"].map(str::to_string);
        let mut params = rcgen::CertificateParams::new(names.to_vec())?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "xenledger");
        let mut serial = [0; 16];
        self.world.fill(&mut serial);
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&serial));
        let key = rcgen::KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok((certificate.pem(), Zeroizing::new(key.serialize_pem())))
    }
}

fn new_of(path: &Path) -> PathBuf {
    path.with_extension("pem.new")
}

fn write_new(path: &Path, text: &str, mode: u32) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(new_of(path))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn unwritten(error: anyhow::Error) -> ApiError {
    tracing::error!(%error, "the server's certificate could not be replaced");
    codes::INTERNAL_ERROR("the server's certificate could not be replaced")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(years: (i32, i32)) -> (String, String) {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_string()]).expect("a name");
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        (params.self_signed(&key).expect("signed").pem(), key.serialize_pem())
    }

    /// In the simulated world it is 2020.
    fn opened(folder: &Path) -> Identity {
        Identity::open(folder, &World::simulated(1_577_900_000_000_000, 1)).expect("opened")
    }

    #[test]
    fn a_certificate_is_made_once_and_replaced_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let identity = opened(folder.path());
        assert!(!identity.is_there());
        let first = identity.certificate().expect("made");
        assert_eq!(opened(folder.path()).certificate().expect("there"), first);
        let before = identity.config().expect("a config");
        let (certificate, key) = pair((2010, 2030));
        identity.install(&certificate, &key, "").expect("installed");
        assert_eq!(identity.certificate().expect("there"), certificate);
        assert!(!Arc::ptr_eq(&before, &identity.config().expect("a config")), "new connections use the new one");
        assert_ne!(identity.renew().expect("renewed"), certificate);
    }

    #[test]
    fn what_is_not_fit_is_not_installed() {
        let folder = tempfile::tempdir().expect("a folder");
        let identity = opened(folder.path());
        let kept = identity.certificate().expect("made");
        let (certificate, key) = pair((2010, 2030));
        let (old, old_key) = pair((2000, 2010));
        let (new, new_key) = pair((2025, 2030));
        for (certificate, key, chain, code) in [
            ("nonsense", &*key, "", "SERVER_CERTIFICATE_INVALID"),
            (&*certificate, "nonsense", "", "SERVER_CERTIFICATE_KEY_INVALID"),
            (&*certificate, &*old_key, "", "SERVER_CERTIFICATE_KEY_MISMATCH"),
            (&*certificate, &*key, "nonsense", "SERVER_CERTIFICATE_CHAIN_INVALID"),
            (&*old, &*old_key, "", "SERVER_CERTIFICATE_EXPIRED"),
            (&*new, &*new_key, "", "SERVER_CERTIFICATE_NOT_VALID_YET"),
        ] {
            assert_eq!(identity.install(certificate, key, chain).expect_err("refused").code, code);
        }
        assert_eq!(identity.certificate().expect("there"), kept);
        identity.install(&certificate, &key, &old).expect("a chain that is whole");
    }

    #[test]
    fn a_replacement_cut_short_is_finished_or_discarded() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = opened(folder.path()).certificate().expect("made");
        let (certificate, key) = pair((2010, 2030));
        let at = |name: &str| folder.path().join(name);
        write_new(&at(CERTIFICATE), &certificate, PUBLIC).expect("written");
        write_new(&at(KEY), &key, PRIVATE).expect("written");
        assert_eq!(opened(folder.path()).certificate().expect("there"), kept, "nothing was renamed yet");
        write_new(&at(CERTIFICATE), &certificate, PUBLIC).expect("written");
        write_new(&at(KEY), &key, PRIVATE).expect("written");
        std::fs::rename(new_of(&at(CERTIFICATE)), at(CERTIFICATE)).expect("renamed");
        assert_eq!(opened(folder.path()).certificate().expect("there"), certificate);
    }
}
