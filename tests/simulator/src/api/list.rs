//! How lists are answered.

use serde_json::{Map, Value, json};

use super::Params;
use crate::error::ApiError;

/// `default.page.size`: how much is answered at most.
const MAX_PAGE: usize = 500;

/// Answers a list: the page asked for, or the first 500, and the count of all.
pub(crate) fn answer(params: &Params, key: &str, items: Vec<Value>) -> Result<Value, ApiError> {
    let (skip, take) = match (params.number("page"), params.number("pagesize")) {
        (None, None) => (0, MAX_PAGE),
        (Some(_), None) => {
            return Err(ApiError::parameter(
                "\"pagesize\" parameter is required when \"page\" is specified",
            ));
        }
        (None, Some(_)) => {
            return Err(ApiError::parameter(
                "\"page\" parameter is required when \"pagesize\" is specified",
            ));
        }
        // The size of a page without end.
        (Some(_), Some(-1)) => (0, usize::MAX),
        (Some(page), Some(size)) => {
            let positive = |number, name| match usize::try_from(number) {
                Ok(number) if number > 0 => Ok(number),
                _ => Err(ApiError::parameter(format!(
                    "Invalid value provided for API arg: {name}"
                ))),
            };
            let (page, size): (usize, usize) =
                (positive(page, "page")?, positive(size, "pagesize")?);
            if size > MAX_PAGE {
                return Err(ApiError::parameter(format!(
                    "Page size can't exceed max allowed page size value: {MAX_PAGE}"
                )));
            }
            ((page - 1).saturating_mul(size), size)
        }
    };
    let mut content = Map::new();
    if !items.is_empty() {
        content.insert("count".to_owned(), json!(items.len()));
        let page: Vec<_> = items.into_iter().skip(skip).take(take).collect();
        if !page.is_empty() {
            content.insert(key.to_owned(), Value::Array(page));
        }
    }
    Ok(Value::Object(content))
}
