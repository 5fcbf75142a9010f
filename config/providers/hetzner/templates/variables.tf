variable "name" {
  description = "The environment's name: the server's, and its label's value."
  type        = string
}

variable "user_data" {
  description = "The cloud-config for the first boot."
  type        = string
  sensitive   = true
}

variable "ssh_port" {
  description = "The port that sshd listens on."
  type        = number
}

variable "token" {
  description = "The API token of the Hetzner Cloud project."
  type        = string
  sensitive   = true
}

variable "endpoint" {
  description = "Where the API is."
  type        = string
}

variable "server_type" {
  description = "Processors, memory and disk, as Hetzner names them."
  type        = string
}

variable "image" {
  description = "The image that the server is made from."
  type        = string
}

variable "location" {
  description = "Where the server stands."
  type        = string
}

variable "backups" {
  description = "Whether Hetzner keeps backups."
  type        = bool
}

variable "delete_protection" {
  description = "Whether Hetzner refuses to delete the server."
  type        = bool
}

variable "firewall_ids" {
  description = "Hetzner firewalls that apply to the server."
  type        = set(number)
}
