// Sends the answer on its way (OAuth 2.0 Form Post Response Mode); without scripts the button does.
document.getElementById("return-form").submit();
