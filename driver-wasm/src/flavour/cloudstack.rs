//! The driver for any CloudStack cloud.
//!
//! Names, variables, defaults, the sentences about missing options and the members of `config.json` are those of the most
//! used Go driver, andrestc/docker-machine-driver-cloudstack v0.9.3, so that command lines, environments and machines
//! made with it stay good. What it has no option for has one of this driver's own.

use base64ct::{Base64, Encoding as _};

use crate::contract::types::OptionKind::{
    Boolean, Endpoint, File, Integer, Secret, Text, TextList,
};
use crate::contract::types::{Error, Machine};
use crate::machine::Saved;
use crate::options::{
    self, ADDRESS, API_KEY, AddressMode, Expunge, Row, SECRET_KEY, SERVICE_OFFERING, TEMPLATE,
    Values, ZONE, rows,
};

/// An option's name.
macro_rules! named {
    ($name:literal) => {
        concat!("cloudstack-", $name)
    };
}
pub(crate) use named;

/// The sentence about a missing option.
macro_rules! required {
    ($name:literal) => {
        concat!(
            "cloudstack driver requires the --cloudstack-",
            $name,
            " option"
        )
    };
}

/// The driver's name.
pub(crate) const NAME: &str = "cloudstack";

/// The cloud's name, for the user.
pub(crate) const CLOUD: &str = "CloudStack";

/// The option that holds the API's URL.
pub const ENDPOINT: &str = named!("api-url");
/// The option that has the API called by GET.
const HTTP_GET_ONLY: &str = named!("http-get-only");
/// The options that say how the machine is reached.
const USE_PRIVATE_ADDRESS: &str = named!("use-private-address");
const USE_PORT_FORWARD: &str = named!("use-port-forward");
/// The option that names a public address.
pub const PUBLIC_IP: &str = named!("public-ip");
/// The options that say by which of its networks the machine is reached.
const PUBLIC_NETWORK_INDEX: &str = named!("public-network-index");
const PRIVATE_NETWORK_INDEX: &str = named!("private-network-index");
/// The option that names the networks.
pub const NETWORK: &str = named!("network");
/// The options that hold the user data.
pub(crate) const USER_DATA: &str = named!("userdata-file");
const USER_DATA_BASE64: &str = named!("userdata-base64");
/// The option that holds tags.
pub const TAG: &str = named!("resource-tag");
/// What is between the key and the value of a tag.
pub(crate) const TAG_SEPARATOR: char = ':';
/// The option that holds the name to show.
pub const DISPLAY_NAME: &str = named!("displayname");
/// The option that says whether a removed machine is expunged.
pub const EXPUNGE: &str = named!("expunge");
/// The option that says whether the data disks of a removed machine are deleted.
const DELETE_VOLUMES: &str = named!("delete-volumes");

/// How long a machine may take to start, in seconds.
pub(crate) const DEFAULT_TIMEOUT: &str = "300";

/// How a machine in an isolated network is reached, unless the user says.
pub(crate) const BEHIND_NAT: AddressMode = AddressMode::StaticNat;

/// The options that have to be given, and the sentences that the user reads when one is missing.
pub(crate) const REQUIRED: [(&str, &str); 6] = [
    (ENDPOINT, required!("api-url")),
    (API_KEY, required!("api-key")),
    (SECRET_KEY, required!("secret-key")),
    (TEMPLATE, required!("template")),
    (SERVICE_OFFERING, required!("service-offering")),
    (ZONE, required!("zone")),
];

/// The options. The first 34 are those of the Go driver, in its order.
pub(crate) const OPTIONS: [Row; 48] = [
    Row::new(ENDPOINT, Endpoint, "URL of the CloudStack API")
        .of_account()
        .kept_as("ApiURL"),
    Row::new(API_KEY, Secret, "API key of the CloudStack account")
        .of_account()
        .kept_as("ApiKey"),
    Row::new(
        SECRET_KEY,
        Secret,
        "Secret key of the CloudStack account",
    )
    .of_account()
    .kept_as("SecretKey"),
    Row::new(
        HTTP_GET_ONLY,
        Boolean,
        "Call the API by GET alone, for servers that refuse POST; user data can then have 2 KiB",
    )
    .of_account()
    .kept_as("HTTPGETOnly"),
    rows::TIMEOUT.kept_as("JobTimeOut"),
    Row::new(
        USE_PRIVATE_ADDRESS,
        Boolean,
        "Reach the machine at its own address, whatever the network",
    )
    .kept_as("UsePrivateIP"),
    Row::new(
        USE_PORT_FORWARD,
        Boolean,
        "Reach the machine by forwarded ports, of the network's public address unless another is named",
    )
    .kept_as("UsePortForward"),
    // `PublicIP` is the address that a machine has in the end: see `members`.
    rows::PUBLIC_IP,
    Row::new(
        PUBLIC_NETWORK_INDEX,
        Integer,
        "Which of the networks the public address is in, from 0",
    )
    .kept_as("PublicInterfaceIndex"),
    Row::new(
        PRIVATE_NETWORK_INDEX,
        Integer,
        "Which of the networks the machine's own address is in, from 0",
    )
    .kept_as("PrivateInterfaceIndex"),
    rows::SSH_USER.kept_as("SSHUser"),
    rows::CIDR,
    Row::new(
        EXPUNGE,
        Boolean,
        "Expunge the machine at once when it is removed, if the cloud lets the account do that",
    )
    .kept_as("Expunge"),
    Row::new(
        TEMPLATE,
        Text,
        "Name or id of the template from which the machine is made; required, unless its id is given",
    )
    .kept_as("Template"),
    Row::new(
        named!("template-id"),
        Text,
        "Id of the template, which goes before its name",
    )
    .kept_as("TemplateID"),
    Row::new(
        SERVICE_OFFERING,
        Text,
        "Name or id of the service offering, which sets the machine's size; required, unless its id is given",
    )
    .kept_as("ServiceOffering"),
    Row::new(
        named!("service-offering-id"),
        Text,
        "Id of the service offering, which goes before its name",
    )
    .kept_as("ServiceOfferingID"),
    // The Go driver has lists in `Network` and `NetworkID`.
    Row::new(
        NETWORK,
        Text,
        "Names or ids of the networks that the machine is in, separated by commas. Without it the zone's only network is \
         taken, or one is made if there is none",
    )
    .kept_as("Networks"),
    Row::new(
        named!("network-id"),
        Text,
        "Ids of the networks, separated by commas, which go before their names",
    )
    .kept_as("NetworkIDs"),
    Row::new(
        ZONE,
        Text,
        "Name or id of the zone in which the machine is made; required, unless its id is given",
    )
    .kept_as("Zone"),
    Row::new(
        named!("zone-id"),
        Text,
        "Id of the zone, which goes before its name",
    )
    .kept_as("ZoneID"),
    Row::new(
        USER_DATA,
        File,
        "User data for cloud-init: the path of a file, or the contents",
    ),
    Row::new(
        USER_DATA_BASE64,
        Text,
        "User data for cloud-init in base64, if no file is given",
    ),
    rows::PROJECT,
    // `ProjectID` is the project that a machine is in in the end: see `members`.
    Row::new(
        named!("project-id"),
        Text,
        "Id of the project, which goes before its name",
    )
    .of_account(),
    Row::new(
        named!("domain"),
        Text,
        "Accepted for compatibility: the keys tell the domain",
    )
    .of_account(),
    Row::new(
        named!("domain-id"),
        Text,
        "Accepted for compatibility: the keys tell the domain",
    )
    .of_account(),
    Row::new(
        TAG,
        TextList,
        "Tag for the virtual machine, key:value; can be given more than once",
    )
    .kept_as("Tags"),
    rows::DISK_OFFERING,
    Row::new(
        named!("disk-offering-id"),
        Text,
        "Id of the disk offering, which goes before its name",
    )
    .kept_as("DiskOfferingID"),
    rows::DISK_SIZE,
    rows::ROOT_DISK_SIZE,
    Row::new(
        DELETE_VOLUMES,
        Boolean,
        "Delete the machine's data disks, all that are attached, when it is removed; without it they are kept",
    )
    .kept_as("DeleteVolumes"),
    rows::DISPLAY_NAME,
    rows::TLS_SKIP_VERIFY,
    rows::CA_CERT,
    Row::new(
        ADDRESS,
        Text,
        "How the machine is reached: auto (at its own address in a shared network, else at a public one that is acquired \
         for it), port-forward, static-nat (a public address of its own) or private",
    )
    .kept_as("AddressMode")
    .or("auto"),
    rows::NETWORK_OFFERING,
    rows::OPEN_PORT,
    rows::SSH_PORT,
    rows::SSH_KEY,
    rows::KEY_PAIR,
    rows::CPU,
    rows::CPU_SPEED,
    rows::MEMORY,
    rows::AFFINITY_GROUP,
    rows::SECURITY_GROUP,
    rows::GROUP,
];

/// The names of what the driver saves; the Go driver's.
pub(crate) mod members {
    /// The virtual machine's id.
    pub(crate) const VM_ID: &str = "Id";
    /// The name of the key pair in CloudStack.
    pub(crate) const KEY_PAIR: &str = "SSHKeyPair";
    /// The project's id.
    pub(crate) const PROJECT_ID: &str = "ProjectID";
    /// The id of the public address that leads to the machine.
    pub(crate) const ADDRESS_ID: &str = "PublicIPID";
    /// That address.
    pub(crate) const ADDRESS: &str = "PublicIP";
    /// Whether that address was acquired for the machine.
    pub(crate) const ADDRESS_ACQUIRED: &str = "DisassociatePublicIP";
}

/// Understands what the Go driver has saved where this one saves something else. The ids of its firewall rules are
/// understood as they are.
pub(crate) fn take_over(saved: &mut Saved, machine: &Machine) {
    let network_type = saved.text("NetworkType").unwrap_or_default();
    if network_type.eq_ignore_ascii_case("Basic") {
        saved.set_security_group(&machine.name);
    }
    if options::is_on(&machine.options, USE_PRIVATE_ADDRESS) {
        // Nothing is done to a public address then, even if one is named.
        let own = saved.text("PrivateIP").unwrap_or_default().to_owned();
        saved.set_address("", &own);
    } else if saved.address_id().is_some() && !options::is_on(&machine.options, USE_PORT_FORWARD) {
        saved.set_static_nat();
    }
}

/// Whether all that is called is called by GET.
pub(crate) fn uses_get_only(options: &Values) -> bool {
    options::is_on(options, HTTP_GET_ONLY)
}

/// How the machine is reached, if an option of the flavour's own says it.
pub(crate) fn address_switch(machine: &Machine) -> Option<(&'static str, AddressMode)> {
    let switches = [
        (USE_PRIVATE_ADDRESS, AddressMode::Private),
        (USE_PORT_FORWARD, AddressMode::PortForward),
    ];
    switches
        .into_iter()
        .find(|(option, _)| options::is_on(&machine.options, option))
}

/// The option that tells the number of the network by which a machine is reached, if there is one.
pub(crate) fn network_index(mode: AddressMode) -> Option<&'static str> {
    Some(match mode {
        AddressMode::Private => PRIVATE_NETWORK_INDEX,
        _ => PUBLIC_NETWORK_INDEX,
    })
}

/// The option that gives the user data, and what it gives.
///
/// # Errors
///
/// If it is not in base64 where it should be.
pub(crate) fn user_data(machine: &Machine) -> Result<Option<(&'static str, Vec<u8>)>, Error> {
    if let Some(text) = options::contents(&machine.options, USER_DATA) {
        return Ok(Some((USER_DATA, text.as_bytes().to_vec())));
    }
    let Some(encoded) = options::contents(&machine.options, USER_DATA_BASE64) else {
        return Ok(None);
    };
    // `base64` breaks lines, and there may be padding or not, as Go's driver took it.
    let mut encoded: String = encoded.split_whitespace().collect();
    while !encoded.len().is_multiple_of(4) {
        encoded.push('=');
    }
    match Base64::decode_vec(&encoded) {
        Ok(data) => Ok(Some((USER_DATA_BASE64, data))),
        Err(e) => Err(options::invalid(
            USER_DATA_BASE64,
            format!("it is not in base64: {e}"),
        )),
    }
}

/// Whether the machine is expunged when it is removed.
///
/// # Errors
///
/// None.
pub(crate) fn expunge(machine: &Machine) -> Result<Expunge, Error> {
    Ok(match options::is_on(&machine.options, EXPUNGE) {
        true => Expunge::Yes,
        false => Expunge::No,
    })
}

/// Whether disks that the user attached later go with the machine too: the option says so.
pub(crate) const DELETES_ATTACHED_VOLUMES: bool = true;

/// Whether the data disks of a machine go with it.
pub(crate) fn deletes_volumes(machine: &Machine) -> bool {
    options::is_on(&machine.options, DELETE_VOLUMES)
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value as Json, json};

    use super::*;
    use crate::contract::types::{ErrorKind, OptionKind, OptionScope, State, Value};
    use crate::host::Host;
    use crate::machine;
    use crate::options::{DISK_OFFERING, NetworkIndex, Settings};
    use crate::testing::{self, FakeCloud, NetworkKind, TestHost, ok, param};

    #[test]
    fn the_options_of_the_go_driver_come_first_and_are_as_they_were() {
        const SECRET: OptionKind = Secret;
        let rows = [
            ("api-url", Endpoint, "ApiURL", None),
            ("api-key", SECRET, "ApiKey", None),
            ("secret-key", SECRET, "SecretKey", None),
            ("http-get-only", Boolean, "HTTPGETOnly", None),
            ("timeout", Integer, "JobTimeOut", Some("300")),
            ("use-private-address", Boolean, "UsePrivateIP", None),
            ("use-port-forward", Boolean, "UsePortForward", None),
            ("public-ip", Text, "", None),
            (
                "public-network-index",
                Integer,
                "PublicInterfaceIndex",
                None,
            ),
            (
                "private-network-index",
                Integer,
                "PrivateInterfaceIndex",
                None,
            ),
            ("ssh-user", Text, "SSHUser", Some("root")),
            ("cidr", TextList, "CIDRList", None),
            ("expunge", Boolean, "Expunge", None),
            ("template", Text, "Template", None),
            ("template-id", Text, "TemplateID", None),
            ("service-offering", Text, "ServiceOffering", None),
            ("service-offering-id", Text, "ServiceOfferingID", None),
            ("network", Text, "Networks", None),
            ("network-id", Text, "NetworkIDs", None),
            ("zone", Text, "Zone", None),
            ("zone-id", Text, "ZoneID", None),
            ("userdata-file", File, "", None),
            ("userdata-base64", Text, "", None),
            ("project", Text, "Project", None),
            ("project-id", Text, "", None),
            ("domain", Text, "", None),
            ("domain-id", Text, "", None),
            ("resource-tag", TextList, "Tags", None),
            ("disk-offering", Text, "DiskOffering", None),
            ("disk-offering-id", Text, "DiskOfferingID", None),
            ("disk-size", Integer, "DiskSize", None),
            ("root-disk-size", Integer, "RootDiskSize", None),
            ("delete-volumes", Boolean, "DeleteVolumes", None),
            ("displayname", Text, "DisplayName", None),
        ];
        let description = machine::describe();
        for (row, option) in rows.iter().zip(&description.options) {
            let key = option.config_key.as_deref().unwrap_or_default();
            let told = (
                option.name.strip_prefix("cloudstack-").unwrap(),
                option.kind,
                key,
                option.default.as_deref(),
            );
            assert_eq!(told, *row);
            let is_required = matches!(row.0, "api-url" | "api-key" | "secret-key");
            let sentence = format!(
                "cloudstack driver requires the --cloudstack-{} option",
                row.0
            );
            assert_eq!(option.required, is_required.then_some(sentence));
        }
        let of_account = description.options.iter();
        let of_account: Vec<_> = of_account
            .filter(|option| option.scope == OptionScope::Account)
            .map(|option| option.name.strip_prefix("cloudstack-").unwrap())
            .collect();
        let expected = [
            "api-url",
            "api-key",
            "secret-key",
            "http-get-only",
            "project",
            "project-id",
            "domain",
            "domain-id",
            "tls-skip-verify",
            "ca-cert",
        ];
        assert_eq!(of_account, expected);
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn with(options: &[(&str, Value)]) -> Machine {
        let mut machine = testing::machine();
        for (name, value) in options {
            machine.options.retain(|(other, _)| other != name);
            machine.options.push(((*name).to_owned(), value.clone()));
        }
        machine
    }

    fn parse(options: &[(&str, Value)]) -> Result<Settings, Error> {
        Settings::parse(&with(options))
    }

    #[test]
    fn an_id_goes_before_a_name_and_is_enough() {
        let settings = parse(&[
            (ZONE, text("")),
            (named!("zone-id"), text("z")),
            (named!("template-id"), text("t")),
            (named!("disk-offering-id"), text("d")),
            (NETWORK, text("n")),
            (named!("network-id"), text("a, b,a,")),
        ])
        .unwrap();
        assert_eq!(
            (settings.zone.as_str(), settings.template.as_str()),
            ("z", "t")
        );
        assert_eq!(settings.service_offering, "Small");
        assert_eq!(settings.disk_offering.as_deref(), Some("d"));
        assert_eq!(settings.networks, ["a", "b"]);
        assert_eq!(
            parse(&[(NETWORK, text("c,d"))]).unwrap().networks,
            ["c", "d"]
        );
        let project = [
            (named!("project").to_owned(), text("p")),
            (named!("project-id").to_owned(), text("1")),
        ];
        assert_eq!(options::project(&project).as_deref(), Some("1"));
        assert_eq!(options::project(&project[..1]).as_deref(), Some("p"));
    }

    #[test]
    fn switches_say_how_the_machine_is_reached() {
        let on = Value::Boolean(true);
        let mode = |options: &[(&str, Value)]| parse(options).map(|settings| settings.address);
        assert_eq!(mode(&[]).unwrap().behind_nat(), AddressMode::StaticNat);
        for (switch, expected, value, other) in [
            (
                USE_PRIVATE_ADDRESS,
                AddressMode::Private,
                "private",
                "static-nat",
            ),
            (
                USE_PORT_FORWARD,
                AddressMode::PortForward,
                "port-forward",
                "private",
            ),
        ] {
            for address in ["auto", value] {
                let options = [(switch, on.clone()), (ADDRESS, text(address))];
                assert_eq!(mode(&options).unwrap(), expected);
            }
            let options = [(switch, on.clone()), (ADDRESS, text(other))];
            assert_eq!(
                mode(&options).unwrap_err().message,
                format!("--cloudstack-address: it contradicts --{switch}")
            );
        }
    }

    #[test]
    fn a_number_says_by_which_network_the_machine_is_reached() {
        let (public, private) = (PUBLIC_NETWORK_INDEX, PRIVATE_NETWORK_INDEX);
        let both = [(public, Value::Integer(1)), (private, Value::Integer(2))];
        let index = |options: &[(&str, Value)]| {
            parse(&[&both, options].concat()).map(|settings| settings.network_index)
        };
        let expected = |option, index| Some(NetworkIndex { option, index });
        assert_eq!(index(&[]).unwrap(), expected(public, 1));
        let is_private = (USE_PRIVATE_ADDRESS, Value::Boolean(true));
        assert_eq!(index(&[is_private]).unwrap(), expected(private, 2));
        assert_eq!(index(&[(public, Value::Integer(0))]).unwrap(), None);
        let error = index(&[(public, Value::Integer(-1))]).unwrap_err();
        assert_eq!(
            error.message,
            "--cloudstack-public-network-index: it must be a number from 0"
        );
        let host = TestHost::new(FakeCloud::new(NetworkKind::Isolated));
        let error = machine::check(&host, &with(&both)).unwrap_err();
        assert_eq!(
            error.message,
            "--cloudstack-public-network-index: there is no network of the number 1; the machine's are numbered from 0 to 0"
        );
    }

    #[test]
    fn user_data_comes_from_a_file_or_in_base64() {
        let data = |options: &[(&str, Value)]| parse(options).map(|settings| settings.user_data);
        let encoded = "I2Nsb3VkLWNvbmZpZwo=";
        let file = (USER_DATA, text("#cloud-config\n"));
        assert_eq!(
            data(std::slice::from_ref(&file)).unwrap().as_deref(),
            Some(encoded)
        );
        for given in [encoded, "I2Nsb3Vk\nLWNvbmZpZwo\n"] {
            let option = (USER_DATA_BASE64, text(given));
            assert_eq!(data(&[option]).unwrap().as_deref(), Some(encoded));
        }
        let other = (USER_DATA_BASE64, text("b3RoZXI="));
        assert_eq!(data(&[other, file]).unwrap().as_deref(), Some(encoded));
        let error = data(&[(USER_DATA_BASE64, text("#cloud-config"))]).unwrap_err();
        assert!(
            error
                .message
                .starts_with("--cloudstack-userdata-base64: it is not in base64: "),
            "{error:?}"
        );
        assert_eq!(error.kind, ErrorKind::InvalidOption);

        let two_kib = (USER_DATA, text(&"x".repeat(2_048)));
        let more = (USER_DATA, text(&"x".repeat(2_049)));
        let by_get = (HTTP_GET_ONLY, Value::Boolean(true));
        data(std::slice::from_ref(&more)).unwrap();
        data(&[two_kib, by_get.clone()]).unwrap();
        assert_eq!(
            data(&[more, by_get]).unwrap_err().message,
            "--cloudstack-userdata-file: it has 2049 bytes, and CloudStack takes 2048 by GET"
        );
    }

    #[test]
    fn a_server_that_refuses_post_makes_a_machine_by_get() {
        let host = TestHost::new(FakeCloud::new(NetworkKind::Shared));
        let mut machine = with(&[(HTTP_GET_ONLY, Value::Boolean(true))]);
        machine::create(&host, &machine).unwrap();
        machine.saved = host.saved.borrow().clone();
        machine::stop(&host, &machine).unwrap();
        machine::remove(&host, &machine).unwrap();
        let requests = host.requests.borrow();
        assert!(requests.iter().all(|request| request.body.is_none()));
        assert_eq!(
            param(requests.last().unwrap(), "command"),
            Some("deleteSSHKeyPair")
        );
    }

    #[test]
    fn a_machine_is_expunged_only_if_the_user_says_so() {
        for (expunge, expected) in [(false, [None]), (true, [Some("true")])] {
            let host = TestHost::new(FakeCloud::with_vm(NetworkKind::Shared, "Running"));
            let mut machine = with(&[(EXPUNGE, Value::Boolean(expunge))]);
            machine.saved = json!({members::VM_ID: "vm-old"}).to_string();
            machine::remove(&host, &machine).unwrap();
            let requests = host.requests.borrow();
            let destroys = requests
                .iter()
                .filter(|request| param(request, "command") == Some("destroyVirtualMachine"));
            let asked: Vec<_> = destroys.map(|request| param(request, "expunge")).collect();
            assert_eq!(asked, expected);
        }
    }

    #[test]
    fn data_disks_are_kept_unless_the_user_says_so_or_the_machine_was_never_finished() {
        let commands = |deletes: bool, saved: Json| {
            let vm = json!({"count": 1, "virtualmachine": [{"id": "v", "name": "m1", "state": "Running"}]});
            let disks = json!({"count": 1, "volume": [{"id": "d", "type": "DATADISK"}]});
            let done = || ok("queryAsyncJobResult", json!({"jobstatus": 1}));
            let submitted = |command: &str| ok(command, json!({"jobid": "1"}));
            let deletion = [
                ok("listVolumes", disks),
                submitted("stopVirtualMachine"),
                done(),
                submitted("detachVolume"),
                done(),
            ];
            let has_deletion = deletes || saved["Unfinished"] == true;
            let mut script = vec![ok("listVirtualMachines", vm)];
            script.extend(has_deletion.then_some(deletion).into_iter().flatten());
            script.extend([submitted("destroyVirtualMachine"), done()]);
            script.extend(has_deletion.then(|| ok("deleteVolume", json!({"success": "true"}))));
            let host = TestHost::script(script);
            let mut machine = with(&[
                (DELETE_VOLUMES, Value::Boolean(deletes)),
                (DISK_OFFERING, text("Data")),
            ]);
            machine.saved = saved.to_string();
            machine::remove(&host, &machine).unwrap();
            assert!(host.server.borrow().is_empty());
            host.commands()
        };
        let kept = commands(false, json!({"Id": "v"}));
        assert!(!kept.contains(&"listVolumes".to_owned()), "{kept:?}");
        let unfinished = commands(false, json!({"Id": "v", "Unfinished": true}));
        assert_eq!(commands(true, json!({"Id": "v"})), unfinished);
    }

    /// What the Go driver v0.9.3 has written of a machine, in docker-machine's `Driver`.
    fn go_config(changes: Json) -> Json {
        let config = include_str!("../../../tests/machines/cloudstack-0.9.3.json");
        let config: Json = serde_json::from_str(config).unwrap();
        let mut driver = config["Driver"].clone();
        for (member, value) in changes.as_object().unwrap() {
            driver[member] = value.clone();
        }
        driver
    }

    /// The machine as the host hands it over. docker-machine's own members are the host's, but for those of options.
    fn go_machine(changes: Json) -> Machine {
        let mut saved = match go_config(changes) {
            Json::Object(members) => members,
            other => panic!("{other} is no object"),
        };
        let mut options = Vec::new();
        for spec in machine::describe().options {
            let kept = spec.config_key.and_then(|key| saved.remove(&key));
            let value = match kept.unwrap_or_default() {
                Json::String(text) if !text.is_empty() => Value::Text(text),
                Json::Bool(on) => Value::Boolean(on),
                Json::Number(number) => Value::Integer(number.as_i64().unwrap()),
                _ => continue,
            };
            let value = match spec.kind {
                Secret => Value::Withheld(true),
                _ => value,
            };
            options.push((spec.name, value));
        }
        saved.retain(|member, _| !member.starts_with('S') || member == "SSHKeyPair");
        Machine {
            id: String::new(),
            options,
            saved: Json::Object(saved).to_string(),
            ..testing::machine()
        }
    }

    fn saved(machine: &Machine) -> Map<String, Json> {
        let saved = Saved::of(machine).unwrap();
        serde_json::from_str(&saved.to_json().unwrap()).unwrap()
    }

    /// A cloud with the machine and its key pair.
    fn go_cloud(network: NetworkKind) -> TestHost<FakeCloud> {
        let mut cloud = FakeCloud::new(network);
        cloud.add_vm("vm-old", "m1", "m1", "Running");
        cloud.keys.insert("m1".to_owned(), String::new());
        TestHost::new(cloud)
    }

    fn contents(host: &TestHost<FakeCloud>) -> Vec<String> {
        host.server.borrow_mut().contents(host.now())
    }

    #[test]
    fn a_machine_of_the_go_driver_is_taken_over() {
        let host = go_cloud(NetworkKind::Isolated);
        host.server.borrow_mut().has_acquired = true;
        let machine = go_machine(json!({}));
        let status = machine::status(&host, std::slice::from_ref(&machine));
        let status = status[0].as_ref().unwrap();
        assert_eq!(status.state, State::Running);
        assert_eq!(
            (
                status.ip.as_deref(),
                status.ssh_user.as_str(),
                status.ssh_port
            ),
            (Some("192.0.2.13"), "ubuntu", 22)
        );
        machine::stop(&host, &machine).unwrap();
        machine::start(&host, &machine).unwrap();
        host.commands();
        machine::remove(&host, &machine).unwrap();
        let calls = [
            "listVirtualMachines",
            "disassociateIpAddress",
            "queryAsyncJobResult",
            "destroyVirtualMachine",
            "queryAsyncJobResult",
            "deleteSSHKeyPair",
        ];
        assert_eq!(host.commands(), calls);
        assert!(contents(&host).is_empty(), "{:?}", contents(&host));
    }

    #[test]
    fn an_address_that_was_there_before_stays_and_loses_what_was_made_for_the_machine() {
        let done = || ok("queryAsyncJobResult", json!({"jobstatus": 1}));
        let submitted = |command: &str| ok(command, json!({"jobid": "1"}));
        let host = TestHost::script([
            ok(
                "listVirtualMachines",
                json!({"virtualmachine": [{"id": "vm-old", "name": "m1", "state": "Running"}]}),
            ),
            ok("listPortForwardingRules", json!({})),
            ok(
                "listFirewallRules",
                json!({"firewallrule": [{"id": "f-0"}, {"id": "f-1"}, {"id": "f-2"}]}),
            ),
            submitted("deleteFirewallRule"),
            submitted("deleteFirewallRule"),
            done(),
            done(),
            ok(
                "listPublicIpAddresses",
                json!({"publicipaddress": [{"id": "ip-3", "ipaddress": "192.0.2.13", "isstaticnat": true,
                    "virtualmachineid": "vm-old"}]}),
            ),
            submitted("disableStaticNat"),
            done(),
            submitted("destroyVirtualMachine"),
            done(),
            ok("deleteSSHKeyPair", json!({"success": "true"})),
        ]);
        let machine = go_machine(json!({"DisassociatePublicIP": false, "ProjectID": "p"}));
        machine::remove(&host, &machine).unwrap();
        assert!(host.server.borrow().is_empty());
        let requests = host.requests.borrow();
        let deleted: Vec<_> = requests
            .iter()
            .filter(|request| param(request, "command") == Some("deleteFirewallRule"))
            .map(|request| param(request, "id").unwrap())
            .collect();
        assert_eq!(deleted, ["f-1", "f-2"]);
        assert_eq!(param(&requests[0], "projectid"), Some("p"));
        assert_eq!(param(requests.last().unwrap(), "name"), Some("m1"));
    }

    #[test]
    fn forwarded_ports_go_with_the_machine() {
        let host = go_cloud(NetworkKind::Isolated);
        for (id, vm, port) in [
            ("r-1", "vm-old", 22),
            ("r-2", "vm-old", 2376),
            ("r-3", "vm-x", 80),
        ] {
            host.server
                .borrow_mut()
                .rules
                .insert(id.to_owned(), (vm.to_owned(), port));
        }
        let machine = go_machine(json!({
            "UsePortForward": true, "PublicIP": "192.0.2.12", "PublicIPID": "ip-2", "DisassociatePublicIP": false,
            "FirewallRuleIds": [],
        }));
        assert_eq!(saved(&machine).get("StaticNat"), None);
        machine::remove(&host, &machine).unwrap();
        assert_eq!(contents(&host), ["r-3 80"]);
    }

    #[test]
    fn a_private_machine_is_at_its_own_address_and_a_basic_one_has_a_security_group() {
        let machine = go_machine(json!({
            "UsePrivateIP": true, "PublicIP": "192.0.2.9", "PublicIPID": "ip-9", "DisassociatePublicIP": false,
        }));
        let host = go_cloud(NetworkKind::Isolated);
        let status = machine::status(&host, std::slice::from_ref(&machine));
        assert_eq!(status[0].as_ref().unwrap().ip.as_deref(), Some("10.1.1.5"));
        let members = saved(&machine);
        assert_eq!(
            (&members["PublicIPID"], members.get("StaticNat")),
            (&json!(""), None)
        );

        let basic = go_machine(json!({
            "NetworkType": "Basic", "PublicIP": "10.1.1.5", "PublicIPID": "", "DisassociatePublicIP": false,
        }));
        let members = saved(&basic);
        assert_eq!(members["OwnSecurityGroup"], "m1");
        assert_eq!(members.get("StaticNat"), None);
        // One of this driver has an id, and nothing to be taken over.
        let id = testing::machine().id;
        assert_eq!(
            saved(&Machine { id, ..basic }).get("OwnSecurityGroup"),
            None
        );
    }

    #[test]
    fn a_machine_that_the_go_driver_has_never_made_takes_no_more_than_a_look() {
        let host = TestHost::new(FakeCloud::new(NetworkKind::Isolated));
        let machine = go_machine(json!({
            "Id": "", "PublicIP": "", "PublicIPID": "", "DisassociatePublicIP": false, "FirewallRuleIds": [],
        }));
        machine::remove(&host, &machine).unwrap();
        let calls = host.commands();
        let is_change = |command: &&String| !command.starts_with("list");
        let changes: Vec<_> = calls.iter().filter(is_change).collect();
        assert_eq!(changes, ["deleteSSHKeyPair"]);
    }
}
