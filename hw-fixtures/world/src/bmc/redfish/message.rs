//! Error bodies in Redfish's shape, with the texts of the Base message registry.
//! Must never carry a secret or a path of this process: only what the caller sent or what a BMC would say.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::Answer;

/// Version of the Base registry whose keys are used.
const REGISTRY: &str = "Base.1.15";

/// Key, text (with %1, %2), severity, resolution.
type Message = (&'static str, &'static str, &'static str, &'static str);

const MESSAGES: [Message; 30] = [
    ("Success", "The request completed successfully.", "OK", "None."),
    (
        "GeneralError",
        "A general error has occurred.  See Resolution for information on how to resolve the error.",
        "Critical",
        "None.",
    ),
    (
        "InternalError",
        "The request failed due to an internal service error.  The service is still operational.",
        "Critical",
        "Resubmit the request.  If the problem persists, consider resetting the service.",
    ),
    (
        "ServiceTemporarilyUnavailable",
        "The service is temporarily unavailable.  Retry in %1 seconds.",
        "Critical",
        "Wait for the indicated retry duration and retry the operation.",
    ),
    (
        "ResourceMissingAtURI",
        "The resource at the URI '%1' was not found.",
        "Critical",
        "Place a valid resource at the URI or correct the URI and resubmit the request.",
    ),
    (
        "MalformedJSON",
        "The request body submitted was malformed JSON and could not be parsed by the receiving service.",
        "Critical",
        "Ensure that the request body is valid JSON and resubmit the request.",
    ),
    (
        "UnrecognizedRequestBody",
        "The service detected a malformed request body that it was unable to interpret.",
        "Warning",
        "Correct the request body and resubmit the request if it failed.",
    ),
    (
        "PayloadTooLarge",
        "The supplied request payload size is too large.",
        "Critical",
        "Resubmit the request with a smaller payload.",
    ),
    (
        "QueryNotSupportedOnResource",
        "Querying is not supported on the requested resource.",
        "Warning",
        "Remove the query parameters and resubmit the request if the operation failed.",
    ),
    ("OperationNotAllowed", "The HTTP method is not allowed on this resource.", "Critical", "None."),
    (
        "NoValidSession",
        "There is no valid session established with the implementation.",
        "Critical",
        "Establish a session before attempting any operations.",
    ),
    (
        "InsufficientPrivilege",
        "There are insufficient privileges for the account or credentials associated with the current session to perform the requested operation.",
        "Critical",
        "Either abandon the operation or change the associated access rights and resubmit the request if the operation failed.",
    ),
    (
        "ResourceAtUriUnauthorized",
        "While accessing the resource at '%1', the service received an authorization error '%2'.",
        "Critical",
        "Ensure that the appropriate access is provided for the service in order for it to access the URI.",
    ),
    (
        "SessionLimitExceeded",
        "The session establishment failed due to the number of simultaneous sessions exceeding the limit of the implementation.",
        "Critical",
        "Reduce the number of other sessions before trying to establish the session or increase the limit of simultaneous sessions, if supported.",
    ),
    (
        "PropertyUnknown",
        "The property %1 is not in the list of valid properties for the resource.",
        "Warning",
        "Remove the unknown property from the request body and resubmit the request if the operation failed.",
    ),
    (
        "PropertyMissing",
        "The property %1 is a required property and must be included in the request.",
        "Warning",
        "Ensure that the property is in the request body and has a valid value and resubmit the request if the operation failed.",
    ),
    (
        "PropertyNotWritable",
        "The property %1 is a read-only property and cannot be assigned a value.",
        "Warning",
        "Remove the property from the request body and resubmit the request if the operation failed.",
    ),
    (
        "PropertyValueTypeError",
        "The value '%1' for the property %2 is not a type that the property can accept.",
        "Warning",
        "Correct the value for the property in the request body and resubmit the request if the operation failed.",
    ),
    (
        "PropertyValueNotInList",
        "The value '%1' for the property %2 is not in the list of acceptable values.",
        "Warning",
        "Choose a value from the enumeration list that the implementation can support and resubmit the request if the operation failed.",
    ),
    ("HeaderInvalid", "Header '%1' is invalid.", "Critical", "Resubmit the request with a valid request header."),
    (
        "PropertyNotUpdated",
        "The property was not updated due to an internal service error.  The service is still operational.",
        "Critical",
        "Resubmit the request.  If the problem persists, check for additional messages in the task.",
    ),
    (
        "PropertyValueConflict",
        "The property '%1' could not be written because its value would conflict with the value of the '%2' property.",
        "Warning",
        "No resolution is required.",
    ),
    (
        "iLO.2.14.UnableToModifyDuringSystemPOST",
        "The value for property %1 cannot be changed while the computer system BIOS is in POST.",
        "Warning",
        "After the computer system is either fully booted or powered off, retry the operation.",
    ),
    (
        "ActionParameterMissing",
        "The action %1 requires the parameter %2 to be present in the request body.",
        "Critical",
        "Supply the action with the required parameter in the request body when the request is resubmitted.",
    ),
    (
        "ActionParameterUnknown",
        "The action %1 was submitted with the invalid parameter %2.",
        "Warning",
        "Correct the invalid parameter and resubmit the request if the operation failed.",
    ),
    (
        "ActionParameterValueNotInList",
        "The value '%1' for the parameter %2 in the action %3 is not in the list of acceptable values.",
        "Warning",
        "Choose a value from the enumeration list that the implementation can support and resubmit the request if the operation failed.",
    ),
    (
        "ActionParameterValueConflict",
        "The parameter '%1' with the requested value of '%2' does not meet the constraints of the implementation.",
        "Warning",
        "Resubmit the action with a parameter value that the implementation can support.",
    ),
    (
        "PreconditionFailed",
        "The ETag supplied did not match the ETag required to change this resource.",
        "Critical",
        "Try the operation again using the appropriate ETag.",
    ),
    (
        "PreconditionRequired",
        "A precondition header or annotation is required to change this resource.",
        "Critical",
        "Try the operation again using an If-Match or If-None-Match header and appropriate ETag.",
    ),
    (
        "NoOperation",
        "The request body submitted contain no data to act upon and no changes to the resource took place.",
        "Warning",
        "Add properties in the JSON object and resubmit the request.",
    ),
];

/// Id, text and the entry of `@Message.ExtendedInfo`.
fn info(key: &str, arguments: &[&str]) -> (String, String, Value) {
    let fallback = ("GeneralError", "A general error has occurred.", "Critical", "None.");
    let (key, text, severity, resolution) = MESSAGES.iter().find(|m| m.0 == key).copied().unwrap_or(fallback);
    let mut message = text.to_owned();
    for (number, argument) in (1..).zip(arguments) {
        message = message.replace(&format!("%{number}"), argument);
    }
    // a key of a maker's own registry names that registry itself
    let id = if key.contains('.') { key.to_owned() } else { format!("{REGISTRY}.{key}") };
    let entry = json!({
        "@odata.type": "#Message.v1_1_2.Message",
        "MessageId": id,
        "Message": message,
        "MessageArgs": arguments,
        "MessageSeverity": severity,
        "Resolution": resolution,
    });
    (id, message, entry)
}

/// A message alone.
pub fn entry(key: &str, arguments: &[&str]) -> Value {
    info(key, arguments).2
}

/// An error with one message.
pub fn error(status: StatusCode, key: &str, arguments: &[&str]) -> Answer {
    let (id, message, entry) = info(key, arguments);
    Answer::new(status, json!({ "error": { "code": id, "message": message, "@Message.ExtendedInfo": [entry] } }))
}

/// An error about one property.
pub fn property_error(key: &str, property: &str, arguments: &[&str]) -> Answer {
    let (_, _, mut entry) = info(key, arguments);
    if let Some(object) = entry.as_object_mut() {
        object.insert("RelatedProperties".into(), json!([format!("#/{property}")]));
    }
    let body = json!({ "error": {
        "code": format!("{REGISTRY}.GeneralError"),
        "message": "A general error has occurred.  See ExtendedInfo for more information.",
        "@Message.ExtendedInfo": [entry],
    }});
    Answer::new(StatusCode::BAD_REQUEST, body)
}

/// 200 with the message that all went well, as most BMCs answer a PATCH.
pub fn success() -> Answer {
    Answer::new(StatusCode::OK, json!({ "@Message.ExtendedInfo": [info("Success", &[]).2] }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_registry_key_and_arguments() {
        let answer = error(StatusCode::NOT_FOUND, "ResourceMissingAtURI", &["/x"]);
        let body = answer.body.unwrap();
        assert_eq!(body["error"]["code"], "Base.1.15.ResourceMissingAtURI");
        assert_eq!(body["error"]["@Message.ExtendedInfo"][0]["Message"], "The resource at the URI '/x' was not found.");
    }
}
