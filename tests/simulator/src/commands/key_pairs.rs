//! SSH key pairs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Call, success};
use crate::error::ApiError;
use crate::world::KeyPair;

/// The kinds of keys of old servers, and those that came later.
const RSA: [&str; 2] = ["ssh-rsa", "ssh-dss"];
const LATER: [&str; 4] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
];

pub(super) fn register(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let name = call.params.required("name")?.to_owned();
    refuse_taken_name(call, &name)?;
    let public_key = call.params.required("publickey")?.trim().to_owned();
    let blob = key_blob(&public_key, call.world.behaviour.rsa_keys_only)
        .ok_or_else(|| ApiError::invalid("Public key is invalid"))?;
    if call
        .mine(&call.world.key_pairs)
        .any(|pair| material(&pair.public_key) == material(&public_key))
    {
        return Err(ApiError::invalid(format!(
            "A key pair with name '{public_key}' already exists for this account."
        )));
    }
    let pair = add(call, name, public_key, &blob);
    Ok(json!({ "keypair": pair }))
}

/// Makes a key pair. The private key that is answered has the form of one, but is random: nothing accepts it.
pub(super) fn create(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let name = call.params.required("name")?.to_owned();
    refuse_taken_name(call, &name)?;
    let random = |uuids: usize| {
        (0..uuids)
            .flat_map(|_| Uuid::new_v4().into_bytes())
            .collect::<Vec<u8>>()
    };
    let mut blob = b"\0\0\0\x07ssh-rsa".to_vec();
    blob.extend(random(16));
    let public_key = format!("ssh-rsa {}", STANDARD.encode(&blob));
    let mut pair = add(call, name, public_key, &blob);
    let text = STANDARD.encode(random(54));
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    if let Some(pair) = pair.as_object_mut() {
        let pem = format!(
            "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----\n",
            lines.join("\n")
        );
        pair.insert("privatekey".to_owned(), json!(pem));
    }
    Ok(json!({ "keypair": pair }))
}

pub(super) fn list(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let wanted = call.wants(&call.world.key_pairs, "id")?;
    let fingerprint = call.params.filled("fingerprint");
    let name = call.params.filled("name");
    let pairs = call.mine(&call.world.key_pairs).filter(|pair| {
        wanted(pair.id)
            && name.is_none_or(|name| name == pair.name)
            && call.has_keyword(&pair.name)
            && fingerprint.is_none_or(|fingerprint| fingerprint == pair.fingerprint)
    });
    call.list(
        "sshkeypair",
        pairs.map(|pair| call.world.key_pair_json(pair)).collect(),
    )
}

pub(super) fn delete(call: &mut Call<'_>) -> Result<Value, ApiError> {
    let name = call.params.required("name")?;
    let Some(id) = call
        .mine(&call.world.key_pairs)
        .find(|pair| pair.name == name)
        .map(|pair| pair.id)
    else {
        return Err(ApiError::invalid(format!(
            "A key pair with name '{name}' does not exist for account {} in specified domain id",
            call.world.account_name(call.owner)
        )));
    };
    call.world.key_pairs.remove(id);
    Ok(success())
}

fn refuse_taken_name(call: &Call<'_>, name: &str) -> Result<(), ApiError> {
    if call
        .mine(&call.world.key_pairs)
        .any(|pair| pair.name == name)
    {
        return Err(ApiError::invalid(format!(
            "A key pair with name '{name}' already exists."
        )));
    }
    Ok(())
}

fn add(call: &mut Call<'_>, name: String, public_key: String, blob: &[u8]) -> Value {
    let pair = KeyPair {
        id: Uuid::new_v4(),
        owner: call.owner,
        name,
        fingerprint: fingerprint(blob),
        public_key,
    };
    let answer = call.world.key_pair_json(&pair);
    call.world.key_pairs.insert(pair);
    answer
}

/// A public key without its comment.
fn material(public_key: &str) -> Option<(&str, &str)> {
    let mut words = public_key.split_ascii_whitespace();
    Some((words.next()?, words.next()?))
}

/// The key itself of a public key in OpenSSH's form; none if it is not one that the server takes.
fn key_blob(public_key: &str, rsa_only: bool) -> Option<Vec<u8>> {
    let (kind, text) = material(public_key)?;
    if !RSA.contains(&kind) && (rsa_only || !LATER.contains(&kind)) {
        return None;
    }
    let blob = STANDARD.decode(text).ok()?;
    // The key names its kind once more: its length in four bytes, then the name.
    let (length, rest) = blob.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    (rest.get(..length)? == kind.as_bytes()).then_some(blob)
}

/// The MD5 of a key in pairs of digits, as old OpenSSH and CloudStack show it.
fn fingerprint(blob: &[u8]) -> String {
    let pairs: Vec<_> = Md5::digest(blob)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me@example";

    #[test]
    fn keys_are_read_and_old_servers_take_rsa_only() {
        assert_eq!(key_blob(KEY, false).map(|blob| blob.len()), Some(51));
        assert_eq!(key_blob(KEY, true), None);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let other_kind = KEY.replace("ssh-ed25519", "ssh-rsa");
        for wrong in [
            "",
            "ssh-rsa",
            "ssh-rsa !!!",
            "ssh-rsa AAAA",
            "rsa AAAAB3NzaC1yc2E=",
            &other_kind,
        ] {
            assert_eq!(key_blob(wrong, false), None, "{wrong}");
        }
    }

    #[test]
    fn fingerprints_are_md5_with_colons() {
        assert_eq!(
            fingerprint(b""),
            "d4:1d:8c:d9:8f:00:b2:04:e9:80:09:98:ec:f8:42:7e"
        );
    }
}
