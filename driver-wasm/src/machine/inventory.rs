//! What can be named in options, and what is left of the account's limits.

use super::{cloud_of, resolve};
use crate::cloudstack::{Listing, Malformed, Members, Model as _, NetworkOffering};
use crate::contract::inventory::{Candidate, Limit, ListableOption};
use crate::contract::types::{Error, ErrorKind};
use crate::failure;
use crate::host::Host;
use crate::options::{
    self, AFFINITY_GROUP, DISK_OFFERING, KEY_PAIR, NETWORK, NETWORK_OFFERING, PROJECT, PUBLIC_IP,
    SECURITY_GROUP, SERVICE_OFFERING, TEMPLATE, Values, ZONE,
};

/// An option whose names can be listed.
struct Shelf {
    option: &'static str,
    heading: &'static str,
    listing: Listing,
    /// The member that has the name.
    name: &'static str,
    /// Further columns, and the members that have them.
    columns: &'static [(&'static str, &'static str)],
}

impl Shelf {
    const fn new(option: &'static str, heading: &'static str, listing: Listing) -> Self {
        Self {
            option,
            heading,
            listing,
            name: "name",
            columns: &[],
        }
    }

    const fn with(mut self, columns: &'static [(&'static str, &'static str)]) -> Self {
        self.columns = columns;
        self
    }
}

const SHELVES: [Shelf; 11] = [
    Shelf::new(ZONE, "zones", Listing::ZONES).with(&[("TYPE", "networktype")]),
    Shelf::new(TEMPLATE, "templates", Listing::TEMPLATES).with(&[("OS", "ostypename")]),
    Shelf::new(SERVICE_OFFERING, "offerings", Listing::SERVICE_OFFERINGS).with(&[
        ("CPUS", "cpunumber"),
        ("MHZ", "cpuspeed"),
        ("MIB", "memory"),
    ]),
    Shelf::new(NETWORK, "networks", Listing::NETWORKS).with(&[("TYPE", "type"), ("CIDR", "cidr")]),
    Shelf::new(
        NETWORK_OFFERING,
        "network offerings",
        Listing::NETWORK_OFFERINGS,
    )
    .with(&[("AVAILABILITY", "availability")]),
    Shelf::new(PROJECT, "projects", Listing::PROJECTS),
    Shelf {
        name: "ipaddress",
        ..Shelf::new(PUBLIC_IP, "public addresses", Listing::PUBLIC_IP_ADDRESSES)
            .with(&[("NETWORK", "associatednetworkname")])
    },
    Shelf::new(DISK_OFFERING, "disk offerings", Listing::DISK_OFFERINGS)
        .with(&[("GIB", "disksize")]),
    Shelf::new(KEY_PAIR, "key pairs", Listing::SSH_KEY_PAIRS),
    Shelf::new(AFFINITY_GROUP, "affinity groups", Listing::AFFINITY_GROUPS)
        .with(&[("TYPE", "type")]),
    Shelf::new(SECURITY_GROUP, "security groups", Listing::SECURITY_GROUPS),
];

/// What a limit is about: the words for it, the beginning of its members' names, and whether each machine takes some.
const LIMITS: [(&str, &str, bool); 7] = [
    ("virtual machines", "vm", true),
    ("CPUs", "cpu", true),
    ("MiB of memory", "memory", true),
    ("volumes", "volume", true),
    ("GiB of primary storage", "primarystorage", true),
    ("public addresses", "ip", false),
    ("networks", "network", false),
];

/// The options whose names can be listed.
pub fn listable() -> Vec<ListableOption> {
    let listable = |shelf: &Shelf| ListableOption {
        option_name: shelf.option.to_owned(),
        heading: shelf.heading.to_owned(),
        columns: shelf
            .columns
            .iter()
            .map(|(column, _)| (*column).to_owned())
            .collect(),
    };
    SHELVES.iter().map(listable).collect()
}

/// What an option can name, as the account, its project and its zone have it.
///
/// # Errors
///
/// If there are no keys, the zone or the project is not known, or the cloud does not tell.
pub fn candidates(
    host: &dyn Host,
    options: &Values,
    option: &str,
) -> Result<Vec<Candidate>, Error> {
    let shelf = SHELVES.iter().find(|shelf| shelf.option == option);
    let shelf = shelf.ok_or_else(|| {
        failure::error(
            ErrorKind::Unsupported,
            format!("--{option}: what it can name cannot be listed"),
        )
    })?;
    options::check_keys(options)?;
    let project_id = match option {
        PROJECT => None,
        _ => resolve::project(host, options)?,
    };
    let cloud = cloud_of(host, options, project_id.as_deref());
    let zone = match shelf.listing.is_of_zone {
        true => Some(resolve::zone(&cloud, options)?),
        false => None,
    };
    // Machines of such a zone are in its own network, and no option may name one.
    if option == NETWORK && zone.as_ref().is_some_and(|zone| zone.is_basic()) {
        return Ok(Vec::new());
    }
    let zone_id = zone.as_ref().map(|zone| zone.id.as_str());
    let mut candidates: Vec<Candidate> = Vec::new();
    cloud.rows(&shelf.listing, zone_id, &mut |row| {
        if can_be_named(option, row)? {
            candidates.push(candidate(shelf, row)?);
        }
        Ok(())
    })?;
    Ok(candidates)
}

fn candidate(shelf: &Shelf, row: Members<'_>) -> Result<Candidate, Malformed> {
    let name: String = row.or_default(shelf.name);
    // A key pair is known by its name.
    let id = match shelf.option {
        KEY_PAIR => name.clone(),
        _ => row.required("id")?,
    };
    let columns = shelf.columns.iter();
    Ok(Candidate {
        name,
        id,
        details: columns.map(|(_, member)| detail(row, member)).collect(),
    })
}

/// A cell of the table. What an offering leaves open is 0, or not told at all.
fn detail(row: Members<'_>, member: &str) -> String {
    let mut text: String = row.or_default(member);
    if text == "0" {
        text.clear();
    }
    text
}

/// Whether `create` would take it.
fn can_be_named(option: &str, row: Members<'_>) -> Result<bool, Malformed> {
    Ok(match option {
        NETWORK_OFFERING => resolve::is_usable(&NetworkOffering::read(row)?),
        // It leads to a machine already.
        PUBLIC_IP => !row.or_default::<bool>("isstaticnat"),
        _ => true,
    })
}

/// The limits of the account, or of the project that the options name.
///
/// # Errors
///
/// If there are no keys, the project is not known, or the cloud does not tell.
pub fn limits(host: &dyn Host, options: &Values) -> Result<Vec<Limit>, Error> {
    options::check_keys(options)?;
    let project_id = resolve::project(host, options)?;
    let cloud = cloud_of(host, options, None);
    let listing = match project_id {
        Some(_) => Listing::PROJECTS,
        None => Listing::ACCOUNTS,
    };
    let (mut limits, mut owners) = (Vec::new(), 0_u32);
    cloud.rows(&listing, None, &mut |row| {
        let is_it = |id: &String| row.or_default::<String>("id") == *id;
        if project_id.as_ref().is_none_or(is_it) {
            owners = owners.saturating_add(1);
            limits = limits_of(row);
        }
        Ok(())
    })?;
    match owners {
        1 => Ok(limits),
        _ => Err(failure::error(
            ErrorKind::Unsupported,
            format!("The keys see {owners} accounts, and it is not known whose limits count"),
        )),
    }
}

fn limits_of(row: Members<'_>) -> Vec<Limit> {
    let mut limits = Vec::new();
    for (name, member, each_machine) in LIMITS {
        // Versions that do not count it do not tell it.
        if let Some(used) = row.option(&format!("{member}total")) {
            limits.push(Limit {
                name: name.to_owned(),
                used,
                // `Unlimited` is no number.
                max: row.option(&format!("{member}limit")),
                each_machine,
            });
        }
    }
    limits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::types::{OptionKind, Value};
    use crate::testing::{Answer, TestHost, command, machine, ok, param};
    use serde_json::{Value as Json, json};

    /// The options without those of a machine.
    fn account() -> Vec<(String, Value)> {
        let mut options = machine().options;
        let of_machine = [ZONE, TEMPLATE, SERVICE_OFFERING];
        options.retain(|(name, _)| !of_machine.contains(&name.as_str()));
        options
    }

    fn with(option: &str, value: &str) -> Vec<(String, Value)> {
        let mut options = account();
        options.push((option.to_owned(), Value::Text(value.to_owned())));
        options
    }

    fn zones(names: &[&str]) -> Answer {
        let rows: Vec<Json> = names
            .iter()
            .map(
                |name| json!({"id": format!("id-{name}"), "name": name, "networktype": "Advanced"}),
            )
            .collect();
        ok("listZones", json!({"count": rows.len(), "zone": rows}))
    }

    #[test]
    fn what_can_be_listed_are_options_of_the_driver() {
        let description = crate::machine::describe();
        for listable in listable() {
            let named = &listable.option_name;
            let spec = description.options.iter().find(|spec| spec.name == *named);
            let kind = spec.unwrap().kind;
            assert!(
                matches!(kind, OptionKind::Text | OptionKind::TextList),
                "{named}"
            );
        }
        let headings: Vec<_> = SHELVES.iter().map(|shelf| shelf.heading).collect();
        for heading in ["zones", "templates", "offerings", "networks"] {
            assert!(headings.contains(&heading), "{heading}");
        }
    }

    #[test]
    fn templates_are_those_of_the_zone_and_the_project_page_by_page() {
        let page = |rows: Json| ok("listTemplates", json!({"count": 2, "template": rows}));
        let host = TestHost::script([
            ok(
                "listProjects",
                json!({"count": 1, "project": [{"id": "p", "name": "team"}]}),
            ),
            zones(&["London", "Paris"]),
            page(json!([{"id": "1", "name": "Ubuntu", "ostypename": "Linux"}])),
            page(json!([{"id": "2", "name": "Debian"}])),
        ]);
        let mut options = with(ZONE, "PARIS");
        options.push((PROJECT.to_owned(), Value::Text("team".to_owned())));
        let told = candidates(&host, &options, TEMPLATE).unwrap();
        let told: Vec<_> = told
            .iter()
            .map(|c| (c.name.as_str(), c.id.as_str(), c.details.join("|")))
            .collect();
        let expected = [
            ("Ubuntu", "1", "Linux".to_owned()),
            ("Debian", "2", String::new()),
        ];
        assert_eq!(told, expected);
        let requests = host.requests.borrow();
        let last = requests.last().unwrap();
        for (name, value) in [
            ("templatefilter", "executable"),
            ("zoneid", "id-Paris"),
            ("projectid", "p"),
            ("page", "2"),
        ] {
            assert_eq!(param(last, name), Some(value));
        }
        assert!(host.saved.borrow().as_str() == "{}" && host.key_types.borrow().is_empty());
    }

    #[test]
    fn without_a_zone_the_only_one_is_taken_or_they_are_listed() {
        let none = || ok("listNetworks", json!({}));
        let host = TestHost::script([zones(&["London"]), none()]);
        assert_eq!(candidates(&host, &account(), NETWORK).unwrap(), []);
        let requests = host.requests.borrow();
        assert_eq!(param(requests.last().unwrap(), "zoneid"), Some("id-London"));

        let host = TestHost::script([zones(&["London", "Paris"])]);
        let error = candidates(&host, &account(), NETWORK).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidOption);
        assert!(error.message.contains("\n  London (id-London)\n  Paris"));
        assert!(error.hint.unwrap().contains(ZONE));

        let host = TestHost::script([zones(&["London", "Paris"])]);
        let error = candidates(&host, &with(ZONE, "Rome"), NETWORK).unwrap_err();
        assert!(error.message.starts_with("No zone is called \"Rome\""));
    }

    #[test]
    fn what_create_would_refuse_is_left_out() {
        let basic = ok(
            "listZones",
            json!({"count": 1, "zone": [{"id": "z", "name": "z", "networktype": "Basic"}]}),
        );
        let host = TestHost::script([basic]);
        assert_eq!(candidates(&host, &account(), NETWORK).unwrap(), []);

        let addresses = json!({"count": 2, "publicipaddress": [
            {"id": "1", "ipaddress": "192.0.2.1", "isstaticnat": true},
            {"id": "2", "ipaddress": "192.0.2.2", "isstaticnat": false},
        ]});
        let host = TestHost::script([zones(&["London"]), ok("listPublicIpAddresses", addresses)]);
        let told = candidates(&host, &account(), PUBLIC_IP).unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(
            (told[0].name.as_str(), told[0].id.as_str()),
            ("192.0.2.2", "2")
        );

        let offerings = json!({"count": 3, "networkoffering": [
            {"id": "1", "name": "tiers", "forvpc": true, "service": [{"name": "SourceNat"}, {"name": "PortForwarding"}]},
            {"id": "2", "name": "nat", "service": [{"name": "SourceNat"}, {"name": "PortForwarding"}]},
            {"id": "3", "name": "bare"},
        ]});
        let host = TestHost::script([zones(&["London"]), ok("listNetworkOfferings", offerings)]);
        let told = candidates(&host, &account(), NETWORK_OFFERING).unwrap();
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].name, "nat");
    }

    #[test]
    fn key_pairs_are_known_by_their_names_and_without_keys_nobody_is_asked() {
        let pairs = json!({"count": 1, "sshkeypair": [{"name": "mine"}]});
        let host = TestHost::script([ok("listSSHKeyPairs", pairs)]);
        let told = candidates(&host, &account(), KEY_PAIR).unwrap();
        assert_eq!(
            (told[0].name.as_str(), told[0].id.as_str()),
            ("mine", "mine")
        );

        let host = TestHost::script([]);
        let error = candidates(&host, &[], ZONE).unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidOption);
        assert_eq!(limits(&host, &[]).unwrap_err(), error);
        let error = candidates(&host, &account(), options::TAG).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
    }

    #[test]
    fn limits_are_those_of_the_account_or_of_the_project() {
        let row = json!({"id": "a", "name": "me", "vmtotal": 3, "vmlimit": "20", "memorytotal": "2048",
            "memorylimit": "Unlimited", "iptotal": 1, "iplimit": "-1", "cpulimit": "40"});
        let host = TestHost::script([ok("listAccounts", json!({"count": 1, "account": [row]}))]);
        let limit = |name: &str, used, max, each_machine| Limit {
            name: name.to_owned(),
            used,
            max,
            each_machine,
        };
        let told = limits(&host, &account()).unwrap();
        let expected = [
            limit("virtual machines", 3, Some(20), true),
            limit("MiB of memory", 2_048, None, true),
            limit("public addresses", 1, None, false),
        ];
        assert_eq!(told, expected);

        let projects = || {
            ok(
                "listProjects",
                json!({"count": 2, "project": [
                    {"id": "p", "name": "team", "vmtotal": 1, "vmlimit": 1},
                    {"id": "q", "name": "other", "vmtotal": 7, "vmlimit": 9},
                ]}),
            )
        };
        let host = TestHost::script([projects(), projects()]);
        let told = limits(&host, &with(PROJECT, "team")).unwrap();
        assert_eq!(told, [limit("virtual machines", 1, Some(1), true)]);
        let requests = host.requests.borrow();
        assert!(requests.iter().all(|r| command(r) == "listProjects"));

        let two = json!({"count": 2, "account": [{"id": "a"}, {"id": "b"}]});
        let host = TestHost::script([ok("listAccounts", two)]);
        let error = limits(&host, &account()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unsupported);
    }
}
