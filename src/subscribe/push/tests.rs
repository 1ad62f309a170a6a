//! Pauses, addresses and signatures; whole deliveries are in `tests/api`.

use super::address::{Allowed, Target, is_public, resolve};
use super::{PAUSE_MAX, body, pause_after};
use std::time::Duration;

#[test]
fn pauses_grow_and_differ_and_end_somewhere() {
    for failures in 1..200 {
        let (least, most) = (pause_after(failures, 0), pause_after(failures, u64::MAX));
        let whole = Duration::from_secs(1 << (failures - 1).min(20)).min(PAUSE_MAX);
        assert!(least >= whole / 2 && least <= whole && most <= whole, "{failures}: {least:?} to {most:?}");
    }
    assert_ne!(pause_after(5, 1), pause_after(5, 7_777));
}

#[test]
fn only_public_addresses_are_called() {
    for public in ["1.1.1.1", "93.184.216.34", "2606:2800:220:1::1", "::ffff:1.1.1.1", "64:ff9b::101:101"] {
        assert!(is_public(public.parse().expect(public)), "{public}");
    }
    let private = [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.8",
        "198.18.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "fc00::1",
        "fe80::1",
        "ff02::1",
    ];
    for address in private {
        assert!(!is_public(address.parse().expect(address)), "{address}");
    }
}

#[tokio::test]
async fn what_the_configuration_does_not_allow_is_not_called() {
    let (public, all) = (Allowed::default(), Allowed { private: true, plain: true });
    for refused in ["http://example.org/", "unix:/run/x", "ftp://example.org/", "nonsense"] {
        assert!(Target::parse(refused, public).is_err(), "{refused}");
    }
    let tls = Target::parse("https://[::1]:8443/a?b", public).expect("the form is right");
    assert_eq!(tls, Target::Http { tls: true, host: "::1".into(), port: 8443, path: "/a?b".into() });
    assert!(Target::parse("http://h/", all).is_ok() && Target::parse("unix:/run/x", all).is_ok());
    // Also by a name that leads there, and in every spelling that a resolver takes.
    for host in ["127.0.0.1", "::1", "10.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "0177.0.0.1"] {
        let refused = resolve(host, 443, public).await.expect_err(host);
        assert!(refused.contains("private address"), "{refused}");
        assert!(resolve(host, 443, all).await.is_ok(), "{host}");
    }
}

/// The example of the Standard Webhooks specification.
#[test]
fn signatures_are_as_specified() {
    let secret = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let body = br#"{"test": 2432232314}"#;
    let signature = body::sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}
