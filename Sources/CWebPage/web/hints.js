// What the server says about where to send what: taken from the document before the views take its place.

export const hints = document.getElementById("hints");
