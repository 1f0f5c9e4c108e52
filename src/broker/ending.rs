//! What the end of a connection means, with the remedy where there is one.

use rumqttc::mqttbytes::v5::{ConnectReturnCode, DisconnectReasonCode};
use rumqttc::{ConnectionError, StateError};
use rumqttc_v4::{
    ConnectReturnCode as ConnectReturnCodeV4, ConnectionError as ConnectionErrorV4,
    StateError as StateErrorV4,
};

use super::{CONNECT_TIMEOUT, Error, KEEP_ALIVE_S};

#[expect(clippy::wildcard_enum_match_arm, reason = "the client's own words serve for the rest")]
impl From<ConnectionError> for Error {
    fn from(error: ConnectionError) -> Self {
        Self::Connection(match error {
            ConnectionError::ConnectionRefused(code) => refusal(code),
            ConnectionError::Io(error) => error.to_string(),
            ConnectionError::Timeout(_) => no_answer(),
            ConnectionError::MqttState(StateError::ServerDisconnect { reason_code, .. }) => {
                dismissal(reason_code)
            }
            ConnectionError::MqttState(StateError::ConnectionAborted) => closed(),
            ConnectionError::MqttState(StateError::AwaitPingResp) => no_ping(),
            other => other.to_string(),
        })
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the client's own words serve for the rest")]
impl From<ConnectionErrorV4> for Error {
    fn from(error: ConnectionErrorV4) -> Self {
        Self::Connection(match error {
            ConnectionErrorV4::ConnectionRefused(code) => refusal_v311(code),
            ConnectionErrorV4::Io(error)
            | ConnectionErrorV4::MqttState(StateErrorV4::Io(error)) => error.to_string(),
            ConnectionErrorV4::NetworkTimeout | ConnectionErrorV4::FlushTimeout => no_answer(),
            ConnectionErrorV4::MqttState(StateErrorV4::ConnectionAborted) => closed(),
            ConnectionErrorV4::MqttState(StateErrorV4::AwaitPingResp) => no_ping(),
            other => other.to_string(),
        })
    }
}

fn no_answer() -> String {
    format!("no answer within {} s", CONNECT_TIMEOUT.as_secs())
}

/// MQTT 3.1.1 brokers say nothing when another client takes the session over, so this says it.
fn closed() -> String {
    "the broker closed the connection; if it does so again and again, another client may have the \
     same client_id"
        .to_owned()
}

fn no_ping() -> String {
    format!("the broker did not answer a ping for {KEEP_ALIVE_S} s")
}

fn wrong_account() -> String {
    "the broker refuses this account; check username and password_file".to_owned()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the protocol's name of the rest says enough")]
fn refusal(code: ConnectReturnCode) -> String {
    match code {
        ConnectReturnCode::BadUserNamePassword | ConnectReturnCode::NotAuthorized => {
            wrong_account()
        }
        ConnectReturnCode::BadClientId | ConnectReturnCode::ClientIdentifierNotValid => {
            "the broker refuses this client_id".to_owned()
        }
        ConnectReturnCode::RefusedProtocolVersion
        | ConnectReturnCode::UnsupportedProtocolVersion => {
            "the broker does not speak MQTT 5; set protocol: 3.1.1".to_owned()
        }
        other => format!("the broker refuses the connection: {other:?}"),
    }
}

fn refusal_v311(code: ConnectReturnCodeV4) -> String {
    match code {
        ConnectReturnCodeV4::BadUserNamePassword | ConnectReturnCodeV4::NotAuthorized => {
            wrong_account()
        }
        ConnectReturnCodeV4::BadClientId => "the broker refuses this client_id".to_owned(),
        ConnectReturnCodeV4::RefusedProtocolVersion => {
            "the broker does not speak MQTT 3.1.1; leave protocol out".to_owned()
        }
        ConnectReturnCodeV4::Success | ConnectReturnCodeV4::ServiceUnavailable => {
            format!("the broker refuses the connection: {code:?}")
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the protocol's name of the rest says enough")]
fn dismissal(code: DisconnectReasonCode) -> String {
    match code {
        DisconnectReasonCode::SessionTakenOver => {
            "another client took the session over; give each worker a client_id of its own"
                .to_owned()
        }
        other => format!("the broker ended the connection: {other:?}"),
    }
}
