"use strict";
document.querySelector("form[data-submit=itself]").submit();
