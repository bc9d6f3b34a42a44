//! `check` changes nothing and refuses what `create` would stumble over.

use super::*;

#[test]
fn changes_nothing() {
    let host = TestHost::new(FakeCloud::new(Isolated));
    check(&host, &machine()).unwrap();
    assert!(
        host.requests
            .borrow()
            .iter()
            .all(|r| r.method == Method::Get)
    );
    expect_calls(&host, &[&LOOKUPS]);
    assert_eq!(*host.saved.borrow(), "{}");
}

fn with_option(option: &str, value: &str) -> Machine {
    let mut machine = machine();
    let value = Value::Text(value.to_owned());
    machine.options.retain(|(name, _)| name != option);
    machine.options.push((option.to_owned(), value));
    machine
}

#[test]
fn the_address_of_a_vpc_cannot_be_chosen_for_a_tier() {
    let host = TestHost::new(FakeCloud::new(Vpc));
    let mut machine = with_option(PUBLIC_IP, "192.0.2.12");
    let mode = Value::Text("port-forward".to_owned());
    machine.options.push((ADDRESS.to_owned(), mode));
    let error = check(&host, &machine).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidOption);
    assert!(
        error.message.ends_with("cannot be used in a tier"),
        "{error:?}"
    );
}

#[test]
fn takes_ids_and_names() {
    for (option, value) in [
        (ZONE, "zone-1"),
        (ZONE, "LONDON"),
        (TEMPLATE, "tpl-1"),
        (SERVICE_OFFERING, "off-1"),
    ] {
        let host = TestHost::new(FakeCloud::new(Isolated));
        check(&host, &with_option(option, value)).unwrap();
    }
    for (option, text) in [
        (
            ZONE,
            "No zone is called \"x\"\n  London (zone-1)\n  Paris (zone-2)",
        ),
        (
            TEMPLATE,
            "No template is called \"x\"\n  Ubuntu 16.04 (tpl-1)",
        ),
        (
            SERVICE_OFFERING,
            "No service offering is called \"x\"\n  Custom (off-2)\n  Small (off-1)",
        ),
    ] {
        let host = TestHost::new(FakeCloud::new(Isolated));
        let error = check(&host, &with_option(option, "x")).unwrap_err();
        assert_eq!(
            (error.kind, error.message.as_str()),
            (ErrorKind::InvalidOption, text)
        );
        assert!(error.hint.unwrap().ends_with(&format!("--{option}")));
    }
}

#[test]
fn a_custom_offering_needs_its_size_and_a_fixed_one_takes_none() {
    let host = TestHost::new(FakeCloud::new(Isolated));
    let mut machine = with_option(SERVICE_OFFERING, "Custom");
    let error = check(&host, &machine).unwrap_err();
    assert_eq!(error.kind, ErrorKind::InvalidOption);
    assert_eq!(
        error.message,
        format!(
            "The service offering \"Custom\" leaves its size open: it needs --{CPU}, --{MEMORY} and --{CPU_SPEED}"
        )
    );
    let sizes = [(CPU, 2), (MEMORY, 2_048), (CPU_SPEED, 2_000)];
    let sizes = sizes.map(|(name, size)| (name.to_owned(), Value::Integer(size)));
    machine.options.extend(sizes.clone());
    check(&host, &machine).unwrap();
    let mut machine = crate::testing::machine();
    machine.options.extend(sizes);
    let error = check(&host, &machine).unwrap_err();
    assert_eq!(
        error.message,
        format!("--{CPU}: the service offering \"Small\" has a fixed size")
    );
}

#[test]
fn a_network_without_addresses_is_refused_before_anything_is_made() {
    let host = TestHost::new(FakeCloud::new(L2));
    let error = check(&host, &machine()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert_eq!(
        error.message,
        "The network \"my net\" gives its machines no address"
    );
}
