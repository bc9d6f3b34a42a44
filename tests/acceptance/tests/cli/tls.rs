//! The endpoint's certificate is verified, unless the user says otherwise.

use std::fs;

use acceptance::Lab;
use acceptance::tls::TlsFront;

use crate::create;

#[test]
fn a_certificate_is_verified_unless_the_user_says_otherwise() {
    let lab = Lab::new();
    let before = lab.cloud.inventory();
    let front = TlsFront::of(lab.cloud.url());
    let (url, authority) = (front.url(), front.authority());
    let endpoint = ["--btcloud-endpoint", url.as_str()];

    let outcome = create(&lab, "m1", &endpoint);
    let error = outcome.fails(3);
    assert!(
        error.contains("no secure connection to 127.0.0.1"),
        "{error}"
    );
    assert!(
        error.contains("hint: The certificate of --btcloud-endpoint"),
        "{error}"
    );
    assert!(lab.cloud.requests().is_empty());

    let ca = ["--btcloud-ca-cert", authority.to_str().unwrap()];
    let created = create(&lab, "m1", &[endpoint, ca].concat());
    created.ok();
    assert!(!created.stderr.contains("not verified"), "{created:?}");
    // The certificates are kept with the machine, wherever the file goes.
    fs::remove_file(&authority).unwrap();
    assert_eq!(lab.run(&["status", "m1"]).ok(), "Running");
    lab.run(&["remove", "m1"]).ok();

    let created = create(
        &lab,
        "m2",
        &[endpoint.as_slice(), &["--btcloud-tls-skip-verify"]].concat(),
    );
    created.ok();
    assert!(created.stderr.contains("is not verified"), "{created:?}");
    assert_eq!(lab.config("m2")["Driver"]["VerifySSL"], false);
    assert_eq!(lab.run(&["status", "m2"]).stderr, "");
    let stopped = lab.run(&["stop", "m2"]);
    stopped.ok();
    assert!(
        stopped
            .stderr
            .contains("\"VerifySSL\": false in config.json"),
        "{stopped:?}"
    );
    let mut host = lab.host();
    let status = host
        .args(["status", "m2"])
        .env("BTCLOUD_TLS_SKIP_VERIFY", "0");
    assert!(lab.finish(status).fails(1).contains("no secure connection"));
    lab.run(&["remove", "m2"]).ok();
    assert_eq!(lab.cloud.inventory(), before);

    let outcome = create(&lab, "m3", &["--btcloud-ca-cert", "no certificate"]);
    assert!(
        outcome.fails(2).contains("--btcloud-ca-cert: "),
        "{outcome:?}"
    );
}
