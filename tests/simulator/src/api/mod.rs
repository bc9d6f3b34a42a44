//! The API: from a request to an answer.

pub(crate) mod catalog;
mod list;
mod params;

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use uuid::Uuid;

pub(crate) use list::answer as list;
pub(crate) use params::Params;

use crate::commands::{self, Call, Command};
use crate::error::ApiError;
use crate::faults::{Fault, Faults};
use crate::http::{Delivery, Request, Response};
use crate::record::RequestRecord;
use crate::signature::{parse_expires, sign, string_to_sign};
use crate::world::World;

/// How far ahead `expires` may be on servers that enforce it.
const MAX_EXPIRES: SignedDuration = SignedDuration::from_mins(15);

/// What becomes of a request.
pub(crate) struct Handled {
    pub(crate) response: Response,
    pub(crate) delivery: Delivery,
    pub(crate) delay: Option<Duration>,
    pub(crate) record: RequestRecord,
}

/// The times by which a request is judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// The world's.
    pub(crate) now: Timestamp,
    /// The one that `expires` is compared with.
    pub(crate) signature: Timestamp,
}

/// Handles a request.
pub(crate) fn handle(
    world: &mut World,
    faults: &mut Faults,
    request: &Request,
    times: Times,
) -> Handled {
    world.advance(times.now);
    let pairs = parameters(request);
    let mut record = RequestRecord::new(&request.method, &pairs);
    let fault = faults.of_call(&record.command);
    let mut handled = |response: Response, delivery, delay, error| {
        record.status = (delivery != Delivery::Nothing).then_some(response.status);
        record.error = error;
        Handled {
            response,
            delivery,
            delay,
            record: record.clone(),
        }
    };
    match &fault {
        Some(Fault::Respond {
            status,
            content_type,
            body,
        }) => {
            let response = Response {
                status: *status,
                content_type: content_type.clone(),
                description: None,
                body: body.clone().into_bytes(),
            };
            return handled(response, Delivery::Whole, None, None);
        }
        Some(Fault::CloseBeforeAnswer) => {
            return handled(
                Response::html(500, "Never sent"),
                Delivery::Nothing,
                None,
                None,
            );
        }
        _ => {}
    }
    let response = value(&pairs, "response");
    if !response.is_some_and(|response| response.eq_ignore_ascii_case("json")) {
        let text = "The simulator answers in JSON only: send response=json";
        return handled(
            xml_error(431, text),
            Delivery::Whole,
            None,
            Some(text.to_owned()),
        );
    }

    let result = run(world, faults, &request.method, &pairs, times);
    let error = result.as_ref().err().map(|(error, _)| error.text.clone());
    let response = match result {
        Ok((command, content)) => json_response(200, &wrapper(command.name), content, None),
        Err((error, wrapper)) => json_response(
            error.status,
            &wrapper,
            error.to_json(),
            Some(error.text.clone()),
        ),
    };
    let (delivery, delay) = match fault {
        Some(Fault::TruncateBody(count)) => (Delivery::Truncated(count), None),
        Some(Fault::LoseAnswer) => (Delivery::Nothing, None),
        Some(Fault::Delay(delay)) => (Delivery::Whole, Some(delay)),
        _ => (Delivery::Whole, None),
    };
    handled(response, delivery, delay, error)
}

/// The parameters of a request: those of the query, and of the body if it is a form.
fn parameters(request: &Request) -> Vec<(String, String)> {
    let query = request.query.as_deref().unwrap_or_default();
    let content_type = request.content_type.as_deref().unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let form = request.method == "POST"
        && media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded");
    let body = if form { request.body.as_slice() } else { &[] };
    form_urlencoded::parse(query.as_bytes())
        .into_owned()
        .chain(form_urlencoded::parse(body).into_owned())
        .collect()
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(other, _)| other == name)
        .map(|(_, value)| value.as_str())
}

fn value_in_any_case<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(other, _)| other.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

fn wrapper(command: &str) -> String {
    format!("{}response", command.to_lowercase())
}

/// Runs the command that a request asks for. An error comes with the name of the object it is to be answered in.
fn run(
    world: &mut World,
    faults: &mut Faults,
    method: &str,
    pairs: &[(String, String)],
    times: Times,
) -> Result<(&'static Command, Value), (ApiError, String)> {
    let name = value(pairs, "command").unwrap_or_default();
    let command = commands::find(name);
    let own = || {
        command.map_or_else(
            || "errorresponse".to_owned(),
            |command| wrapper(command.name),
        )
    };
    refuse_doubles(pairs).map_err(|error| (error, own()))?;
    let caller = authenticate(world, pairs, times.signature).map_err(|error| (error, own()))?;
    throttle(world, caller, times.now).map_err(|error| (error, own()))?;
    // The one for unknown commands and for what CloudStack does not support has no name of its own.
    let Some(command) = command else {
        let strict = world.behaviour.unknown_command_unauthorized;
        let error = if strict {
            ApiError::unauthorized()
        } else {
            ApiError::unsupported()
        };
        return Err((error, own()));
    };
    let content = execute(world, faults, command, method, pairs, caller, times.now)
        .map_err(|error| (error, own()))?;
    Ok((command, content))
}

/// Refuses a call of an account that has made as many as it may.
fn throttle(world: &mut World, caller: Uuid, now: Timestamp) -> Result<(), ApiError> {
    let Some((max, interval)) = world.behaviour.throttling else {
        return Ok(());
    };
    let (began, calls) = world.calls.entry(caller).or_insert((now, 0));
    let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
    let passed = now.as_millisecond().saturating_sub(began.as_millisecond());
    if passed >= interval {
        (*began, *calls) = (now, 0);
    }
    *calls += 1;
    match *calls > max {
        true => Err(ApiError::throttled(interval.saturating_sub(passed).max(1))),
        false => Ok(()),
    }
}

/// Refuses a parameter that is sent twice: servers sign and read one of the values, and do not tell which.
fn refuse_doubles(pairs: &[(String, String)]) -> Result<(), ApiError> {
    let mut seen = HashSet::new();
    match pairs
        .iter()
        .find(|(name, _)| !seen.insert(name.to_lowercase()))
    {
        Some((twice, _)) => Err(ApiError::parameter(format!(
            "The parameter {twice} was sent more than once"
        ))),
        None => Ok(()),
    }
}

fn execute(
    world: &mut World,
    faults: &mut Faults,
    command: &'static Command,
    method: &str,
    pairs: &[(String, String)],
    caller: Uuid,
    now: Timestamp,
) -> Result<Value, ApiError> {
    if world.behaviour.enforce_post && method != "POST" && changes_state(command.name) {
        return Err(ApiError::post_required(command.name));
    }
    let declaration = catalog::declaration(command.name)
        .ok_or_else(|| ApiError::internal(format!("{} is not declared", command.name)))?;
    let params = Params::check(command.name, declaration, command.supports, pairs)?;
    let mut call = Call {
        world,
        faults,
        params: &params,
        caller,
        owner: caller,
        now,
        get: method == "GET",
        command,
    };
    call.owner = call.scope()?;
    (command.run)(&mut call)
}

/// Whether a command changes something, by the rule of `enforce.post.requests.and.timestamps`.
fn changes_state(command: &str) -> bool {
    let reads = ["get", "list", "query", "find"];
    !reads.iter().any(|prefix| {
        command
            .strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty())
    })
}

/// Finds out whose request it is, and that it is as they signed it.
fn authenticate(
    world: &World,
    pairs: &[(String, String)],
    now: Timestamp,
) -> Result<Uuid, ApiError> {
    let denied = ApiError::unauthorized;
    let api_key = value_in_any_case(pairs, "apikey").ok_or_else(denied)?;
    let account = world.account_by_key(api_key).ok_or_else(denied)?;
    let signature = value_in_any_case(pairs, "signature").ok_or_else(denied)?;

    let timed = value_in_any_case(pairs, "signatureversion") == Some("3");
    if timed {
        let expires = value_in_any_case(pairs, "expires").ok_or_else(denied)?;
        let expires = parse_expires(expires, world.behaviour.literal_z).ok_or_else(denied)?;
        let too_far = world.behaviour.enforce_post && expires.duration_since(now) > MAX_EXPIRES;
        if expires < now || too_far {
            return Err(denied());
        }
    } else if world.behaviour.enforce_post {
        return Err(denied());
    }

    let text = string_to_sign(
        pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    if sign(&account.secret_key.0, &text) == signature {
        Ok(account.id)
    } else {
        Err(denied())
    }
}

fn json_response(
    status: u16,
    wrapper: &str,
    content: Value,
    description: Option<String>,
) -> Response {
    let mut object = Map::new();
    object.insert(wrapper.to_owned(), content);
    Response {
        status,
        content_type: "application/json; charset=UTF-8".to_owned(),
        description,
        body: Value::Object(object).to_string().into_bytes(),
    }
}

fn xml_error(status: u16, text: &str) -> Response {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><errorresponse cloud-stack-version=\"simulator\"><errorcode>{status}\
         </errorcode><errortext>{text}</errortext></errorresponse>"
    );
    Response {
        status,
        content_type: "text/xml; charset=UTF-8".to_owned(),
        description: Some(text.to_owned()),
        body: body.into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_something_is_told_by_the_name() {
        for reading in ["listZones", "queryAsyncJobResult", "getUser", "findHosts"] {
            assert!(!changes_state(reading), "{reading}");
        }
        for changing in [
            "deployVirtualMachine",
            "createTags",
            "list",
            "deleteSSHKeyPair",
        ] {
            assert!(changes_state(changing), "{changing}");
        }
    }

    #[test]
    fn every_command_is_declared_with_what_it_supports() {
        let declared: Vec<_> = catalog::names().collect();
        assert_eq!(declared.len(), commands::ALL.len());
        for command in commands::ALL {
            let declaration = catalog::declaration(command.name).unwrap();
            assert_eq!(
                declaration.asynchronous,
                command.class.is_some(),
                "{}",
                command.name
            );
            for name in command.supports.split_whitespace() {
                assert!(
                    declaration.params.contains_key(name),
                    "{} has no {name}",
                    command.name
                );
            }
            for (name, declared) in &declaration.params {
                let supported = command
                    .supports
                    .split_whitespace()
                    .any(|other| other == name);
                assert!(
                    supported || !declared.required,
                    "{} needs {name}",
                    command.name
                );
            }
        }
    }
}
