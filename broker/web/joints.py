"""The API of joint transactions (`docs/integrators.md`): a doctor's card and a patient's, joined by one id."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import werkzeug.exceptions

from broker.flows import joints
from broker.flows.ports import Ports
from broker.ids import JointID
from broker.web.endpoint import NO_STORE, EndpointRequest, EndpointResponse, call, json_response, pairs


def order(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """201 with the id that both authorization requests name."""
    if request.media_type != "application/json":
        raise werkzeug.exceptions.UnsupportedMediaType
    made = joints.order(call(request, ports, pairs=pairs(request.query)), request.body, ports=ports)
    place = ("Location", f"{ports.policy.issuer}{request.path}/{made.joint.joint_id}")
    return json_response(_told(made), status=HTTPStatus.CREATED, headers=(*NO_STORE, place))


def one(request: EndpointRequest, ports: Ports) -> EndpointResponse:
    """How far one is, and whose pseudonyms are in it; DELETE ends it."""
    asked, name = call(request, ports, pairs=pairs(request.query)), JointID(request.path.split("/")[3])
    if request.method == "DELETE":
        joints.cancel(asked, name, ports=ports)
        return EndpointResponse(status=HTTPStatus.NO_CONTENT, headers=NO_STORE)
    return json_response(_told(joints.status(asked, name, ports=ports)))


def _told(status: joints.Status) -> dict[str, Any]:
    joint = status.joint
    told: dict[str, Any] = {
        "joint_transaction_id": joint.joint_id,
        "status": status.state,
        "expires_in": status.expires_in,
    }
    if joint.professional_subject is not None:
        told["professional"] = {"sub": joint.professional_subject}
    if joint.patient_subject is not None:
        told["patient"] = {"sub": joint.patient_subject}
    return told
